//! Raw files to a task's canonical tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Inputs, Output, Planned, Raw, Resources, Run, Setup, Source, Stage, StageName, Threads};
use crate::error::Result;
use crate::normalize::{NormalizeOutcome, NormalizeRequest, Terms, normalize};
use crate::source::{Origin, RawFile, RawPart, RawTask, Stored, resolve};
use crate::study::StudyError;
use crate::study::artifacts::RawFiles;
use crate::task::{FileSpec, Format, Language, OffsetUnit, Reader, Split, Task};

/// The stage.
pub struct Normalize;

/// Which languages of which splits of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The task.
    pub task: String,
    /// The languages to read of each split.
    pub languages: BTreeMap<Split, Vec<String>>,
}

/// What rows are made of the files, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The task.
    pub task: String,
    /// The shape of its rows.
    pub format: Format,
    /// Its labels, in head order.
    pub labels: Vec<String>,
    /// Whether they are whatever the training split holds.
    pub open_labels: bool,
    /// The SQL that makes canonical rows, but for files that bring their own.
    pub sql: String,
    /// The columns of its result that form the list `choices`.
    pub choices: Vec<String>,
    /// The unit of answer offsets.
    pub answer_offsets: OffsetUnit,
    /// The languages to read of each split.
    pub languages: BTreeMap<Split, Vec<String>>,
    /// Most examples of each language in a split.
    pub limits: BTreeMap<Split, u64>,
    /// How files are found and read.
    pub source: Option<SourceFiles>,
}

/// The part of a task's source that decides how its files are read. Their names are in the inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFiles {
    /// The repository, on the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The reader of files that name none.
    pub reader: Reader,
    /// The files of each split.
    pub files: BTreeMap<Split, FileSpec>,
    /// The columns of files without a header.
    pub columns: Option<Vec<String>>,
}

/// Which file is what, and which rows are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unkeyed {
    /// The languages that rows may be in.
    pub languages: Vec<String>,
    /// The files in the order in which their rows are read.
    pub files: Vec<FileRows>,
}

/// Files side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRows {
    /// The split that their rows belong to.
    pub split: Split,
    /// The language in their path.
    pub language: Option<String>,
    /// The SQL for their rows, where they bring their own.
    pub sql: Option<String>,
    /// The files.
    pub parts: Vec<FilePart>,
}

/// One raw file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePart {
    /// Its name below the data directory, in the artifact that it was generated in, or on the hub.
    pub name: String,
    /// How to read it.
    pub reader: Reader,
    /// Its columns, where it has no header.
    pub columns: Option<Vec<String>>,
}

impl Stage for Normalize {
    const NAME: StageName = StageName::Normalize;
    const VERSION: u32 = 2;
    type Request = Request;
    type Unkeyed = Unkeyed;
    type Outcome = NormalizeOutcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::Many)
    }

    fn perform(
        request: Request,
        unkeyed: Unkeyed,
        inputs: &Inputs,
        out: &Output<'_>,
        _run: &Run<'_>,
    ) -> Result<NormalizeOutcome> {
        let raw = raw_task(&request, unkeyed.files, inputs, out)?;
        let mut codes: Vec<String> = request.languages.values().flatten().cloned().collect();
        codes.sort();
        codes.dedup();
        let terms = Terms {
            id: &request.task,
            format: request.format,
            labels: &request.labels,
            open_labels: request.open_labels,
            choices: &request.choices,
            languages: &unkeyed.languages,
        };
        let wanted = NormalizeRequest { terms, raw: &raw, languages: &codes, limits: &request.limits };
        normalize(&wanted, out.dir, &out.metadata(), out.progress, out.stop)
    }
}

impl Planned for Normalize {
    type Plan = Plan;

    fn request(plan: &Plan, setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Request, Unkeyed)> {
        let task = setup.task(&plan.task)?;
        let found = find(setup, task, &plan.languages, inputs)?;
        if !matches!(setup.raw, Raw::Mini) {
            for part in found.files.iter().flat_map(|file| &file.parts) {
                let (path, stored, digest) = (part.path.clone(), part.stored.clone(), part.digest.clone());
                inputs.add(format!("raw:{}", part.name), Source::File { path, stored, digest });
            }
        }
        let request = Request {
            task: task.id.clone(),
            format: task.format,
            labels: task.labels.clone(),
            open_labels: task.open_labels,
            sql: found.sql,
            choices: task.normalize.choices.clone(),
            answer_offsets: found.answer_offsets,
            languages: plan.languages.clone(),
            limits: setup.study.limits_of(&task.id),
            source: source_files(&setup.raw, task),
        };
        let part = |part: RawPart| FilePart { name: part.name, reader: part.reader, columns: part.columns };
        let rows = |file: RawFile| FileRows {
            split: file.split,
            language: file.language,
            sql: file.sql,
            parts: file.parts.into_iter().map(part).collect(),
        };
        let files = found.files.into_iter().map(rows).collect();
        let mut languages = task.known_languages(&setup.study.source);
        languages.extend(setup.registry.added_languages(task).into_iter().map(str::to_owned));
        Ok((request, Unkeyed { languages, files }))
    }
}

/// The raw files of `task`, split by split.
fn find(setup: &Setup<'_>, task: &Task, languages: &BTreeMap<Split, Vec<String>>, inputs: &Inputs) -> Result<RawTask> {
    let generated = inputs.find::<RawFiles>("source")?;
    let origin = match (&setup.raw, generated) {
        (Raw::Mini, Some(source)) => Origin::Directory { root: source.dir() },
        (Raw::Directory(root), _) => Origin::Directory { root },
        (Raw::Hub(hub), _) => Origin::Hub(hub),
        (Raw::Mini, None) => unreachable!("the planner gives every normalize node of the mini edition a source"),
    };
    let mut whole: Option<RawTask> = None;
    for (split, codes) in languages {
        let chosen: Vec<&Language> =
            codes.iter().map(|code| setup.registry.language(code, &task.id)).collect::<Result<_, _>>()?;
        let found = resolve(task, &origin, &chosen, &[*split], false)?;
        match &mut whole {
            Some(whole) => whole.files.extend(found.files),
            None => whole = Some(found),
        }
    }
    Ok(whole.expect("a task that nothing reads is in no graph"))
}

fn source_files(raw: &Raw, task: &Task) -> Option<SourceFiles> {
    match raw {
        Raw::Hub(_) => task.source.hub.as_ref().map(|source| SourceFiles {
            repo: Some(source.repo.clone()),
            reader: source.reader,
            files: source.files.clone(),
            columns: source.columns.clone(),
        }),
        _ => task.source.directory.as_ref().map(|source| SourceFiles {
            repo: None,
            reader: source.reader,
            files: source.files.clone(),
            columns: source.columns.clone(),
        }),
    }
}

/// `files` where they are on this machine.
fn raw_task(request: &Request, files: Vec<FileRows>, inputs: &Inputs, out: &Output<'_>) -> Result<RawTask> {
    let generated = inputs.find::<RawFiles>("source")?;
    let part = |part: FilePart| -> Result<RawPart> {
        let (path, stored) = match (inputs.file(&format!("raw:{}", part.name)), generated) {
            (Some((path, stored)), _) => (path.to_owned(), stored.clone()),
            (None, Some(source)) => (source.dir().join(&part.name), Stored::Plain),
            (None, None) => {
                let message = format!("it has no input `raw:{}`", part.name);
                return Err(StudyError::Job { label: out.label.to_string(), message }.into());
            }
        };
        Ok(RawPart { stored, name: part.name, columns: part.columns, ..RawPart::plain(path, part.reader) })
    };
    let rows = |file: FileRows| -> Result<RawFile> {
        let parts = file.parts.into_iter().map(part).collect::<Result<_>>()?;
        Ok(RawFile { split: file.split, language: file.language, parts, sql: file.sql })
    };
    let files = files.into_iter().map(rows).collect::<Result<_>>()?;
    Ok(RawTask { files, sql: request.sql.clone(), answer_offsets: request.answer_offsets })
}
