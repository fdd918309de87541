//! An artifact by its label in a study or by its key.

use clap::Args;

use super::Context;
use super::study_args::{Resolved, StudyArgs, StudyChanges};
use crate::error::Result;
use crate::store::Artifact;
use crate::study::{Inspected, StudyError, inspect};

/// What names an artifact.
#[derive(Debug, Args)]
pub struct Named {
    /// A stage's label as `plan` shows it, or the beginning of an artifact's key.
    #[arg(value_name = "LABEL|KEY")]
    pub name: String,
    /// The study that the label belongs to.
    #[arg(long, default_value = "mini")]
    pub study: String,
    #[command(flatten)]
    pub changes: StudyChanges,
}

/// A stage of a study that was named by its label.
pub struct ByLabel {
    pub resolved: Resolved,
    /// Every stage of the study, in its order.
    pub states: Vec<Inspected>,
    /// The place of the one that was named.
    pub index: usize,
    /// Its artifact, if it was made.
    pub artifact: Option<Artifact>,
}

impl Named {
    /// The artifact whose key begins with the name, if the name looks like a key and there is one.
    pub fn by_key(&self, context: &Context) -> Result<Option<Artifact>> {
        if self.name.len() < 6 || !self.name.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let artifacts = context.store().list()?;
        Ok(artifacts.into_iter().find(|artifact| artifact.manifest.key.as_str().starts_with(&self.name)))
    }

    /// The stage of the study that has this label.
    pub fn by_label(&self, context: &Context) -> Result<ByLabel> {
        let study = StudyArgs { study: self.study.clone(), changes: self.changes.clone() };
        let resolved = study.resolve(context)?;
        let (states, mut artifacts) = inspect(&resolved.setup_to_inspect(context)?, &resolved.graph)?;
        let Some(index) = states.iter().position(|state| state.label == self.name) else {
            return Err(StudyError::NoSuchNode { study: self.study.clone(), name: self.name.clone() }.into());
        };
        let artifact = artifacts.swap_remove(index);
        Ok(ByLabel { resolved, states, index, artifact })
    }
}
