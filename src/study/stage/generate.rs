//! Raw files of the mini edition: one original dataset's layout.

use serde::{Deserialize, Serialize};

use super::{Inputs, Output, Planned, Resources, Run, Setup, Source, Stage, StageName, Threads};
use crate::error::Result;
use crate::source::mini::{self, MiniOptions};
use crate::study::StudyError;

/// The stage.
pub struct Generate;

/// Which layout, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// One of [`mini::LAYOUTS`].
    pub layout: String,
    /// Everything that changes its bytes.
    pub options: MiniOptions,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Number of files.
    pub files: usize,
}

impl Stage for Generate {
    const NAME: StageName = StageName::Generate;
    const VERSION: u32 = 2;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = Outcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::One)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, _run: &Run<'_>) -> Result<Outcome> {
        if inputs.source("lexicon")?.digest() != mini::digest() {
            let message = "it is for another lexicon than this binary holds".to_owned();
            return Err(StudyError::Job { label: out.label.to_string(), message }.into());
        }
        let files = mini::generate(&request.layout, &request.options, &out.dir.join(&request.layout))?;
        Ok(Outcome { files: files.len() })
    }
}

impl Planned for Generate {
    type Plan = Request;

    fn request(plan: &Request, _setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Request, ())> {
        inputs.add("lexicon".to_owned(), Source::Embedded { digest: mini::digest() });
        Ok((plan.clone(), ()))
    }
}
