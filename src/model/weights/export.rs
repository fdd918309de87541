//! Models as other software expects them: one head or none.

use std::path::Path;

use burn::tensor::Device;

use super::{load_stored, save_in_shards};
use crate::model::config::EncoderConfig;
use crate::model::heads::HeadSpec;
use crate::model::{HeadKind, ModelError};

/// Which of a model's heads to export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportedHead {
    /// The one that it has, or none if it has none.
    Only,
    /// That of a task, or that of this name which several tasks share.
    Of(String),
    /// None: the encoder, with its pooler if it has one.
    None,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// As in `config.json`, without labels.
    pub config: EncoderConfig,
    /// The head.
    pub head: Option<HeadSpec>,
    /// Whether the encoder's pooler is there: with the heads that read it, and with an encoder by itself that has one.
    pub pooler: bool,
}

/// Writes the model in `source`, as [`super::save`] left it, into `output`, which must exist, so that transformers' class for
/// the head has every parameter that it asks for and no other. `shard_size` is as for [`save_in_shards`].
///
/// # Errors
/// As [`super::load`] and [`save_in_shards`], and when the head is not there or the choice is not clear.
pub fn export(source: &Path, head: &ExportedHead, output: &Path, shard_size: u64) -> Result<Exported, ModelError> {
    let mut model = load_stored(source, &Device::flex())?;
    let tasks = model.heads.iter().map(|head| head.spec.task.as_str()).collect::<Vec<_>>().join(", ");
    match head {
        ExportedHead::Only if model.heads.len() > 1 => return Err(ModelError::SeveralHeads { tasks }),
        ExportedHead::Only => {}
        ExportedHead::Of(task) => {
            model.heads.retain(|head| head.spec.task == *task || head.spec.serves(task));
            if model.heads.is_empty() {
                return Err(ModelError::NoHead { task: task.clone(), tasks });
            }
        }
        ExportedHead::None => model.heads.clear(),
    }
    let head = model.heads.first().map(|head| head.spec.clone());
    let config = model.encoder.config.clone();
    let pools = |kind: HeadKind| kind.pools(config.model_type);
    if head.as_ref().is_some_and(|head| !pools(head.kind)) {
        model.encoder.pooler = None;
    }
    save_in_shards(&model, output, shard_size)?;
    Ok(Exported { pooler: model.encoder.pooler.is_some(), config, head })
}

#[cfg(test)]
mod tests {
    use super::super::{initialize, save};
    use super::*;
    use crate::error::ExitCode;
    use crate::model::Architecture;
    use crate::model::config::tests::tiny;

    fn names(directory: &Path) -> Vec<String> {
        let mut model = load_stored(directory, &Device::flex()).unwrap();
        model.parameters().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_shared_head_is_found_by_its_name_and_by_its_tasks() {
        let shared = |name: &str, tasks: [&str; 2]| {
            let mut spec = HeadSpec::new(name, HeadKind::Span, Vec::new());
            spec.shared_by = tasks.map(str::to_owned).to_vec();
            spec
        };
        let heads = [shared("spans", ["squad", "xquad"]), shared("others", ["mlqa", "tydiqa"])];
        let source = tempfile::tempdir().unwrap();
        save(&initialize(&tiny(Architecture::Bert), &heads, 1, &Device::flex()), source.path()).unwrap();
        for (name, expected) in [("spans", 0), ("xquad", 0), ("tydiqa", 1)] {
            let output = tempfile::tempdir().unwrap();
            let exported = export(source.path(), &ExportedHead::Of(name.into()), output.path(), u64::MAX).unwrap();
            assert_eq!(exported.head.as_ref(), Some(&heads[expected]), "{name}");
        }
    }

    #[test]
    fn one_head_goes_with_the_parameters_that_it_reads() {
        let spec = |task: &str, kind| HeadSpec::new(task, kind, Vec::new());
        let heads = [spec("squad", HeadKind::Span), spec("csqa", HeadKind::MultipleChoice)];
        let model = initialize(&tiny(Architecture::XlmRoberta), &heads, 1, &Device::flex());
        let source = tempfile::tempdir().unwrap();
        save(&model, source.path()).unwrap();
        let exported = |head: ExportedHead| {
            let output = tempfile::tempdir().unwrap();
            export(source.path(), &head, output.path(), u64::MAX).map(|exported| (exported, names(output.path())))
        };
        let (choice, names) = exported(ExportedHead::Of("csqa".into())).unwrap();
        assert!(choice.pooler && choice.head.as_ref() == Some(&heads[1]));
        assert!(names.iter().any(|name| name == "roberta.pooler.dense.bias"));
        assert!(names.iter().any(|name| name == "classifier.weight"));
        let (choice, names) = exported(ExportedHead::Of("squad".into())).unwrap();
        assert!(!choice.pooler && names.iter().all(|name| !name.contains("pooler") && !name.contains("classifier")));
        let (choice, names) = exported(ExportedHead::None).unwrap();
        assert!(choice.pooler && choice.head.is_none());
        assert_eq!(names[0], "embeddings.word_embeddings.weight");
        assert!(names.iter().all(|name| !name.contains("qa_outputs")));

        let error = exported(ExportedHead::Only).unwrap_err();
        assert_eq!(error.exit(), ExitCode::Config);
        assert!(error.to_string().contains("heads for squad, csqa"), "{error}");
        let error = exported(ExportedHead::Of("xnli".into())).unwrap_err().to_string();
        assert!(error.contains("no head for xnli; it has heads for squad, csqa"), "{error}");
    }
}
