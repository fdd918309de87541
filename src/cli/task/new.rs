use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::{Context, print};
use crate::error::{ExitCode, IoContext, Result};
use crate::normalize::raw_columns;
use crate::task::{ExampleFile, Format, Reader, Role, Scaffold, Split, TaskError};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle task new toy_nli --format pair-classification\n  \
    trestle task new piqa --format multiple-choice --example physicaliqa/train.jsonl --example physicaliqa/train-labels.lst")]
pub struct NewArgs {
    /// The task's id: lower-case letters, digits, `_` and `-`.
    id: String,
    /// The shape of its examples: classification, pair-classification, multiple-choice, span-extraction, word-tagging,
    /// sentence-retrieval or text.
    #[arg(long, value_parser = named::<Format>)]
    format: Format,
    /// What it is used for: intermediate, target or text [default: by format].
    #[arg(long, value_parser = named::<Role>)]
    role: Option<Role>,
    /// Its labels, in the order of the head [default: whatever the training split holds].
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    labels: Vec<String>,
    /// The folder of its files below the data directory [default: the example's, or the id].
    #[arg(long, value_name = "FOLDER")]
    layout: Option<String>,
    /// How its files are read: parquet, jsonl, csv, tsv, squad-json, token-tag-tsv, conllu or lines [default: by the
    /// example's ending, or jsonl].
    #[arg(long, value_parser = named::<Reader>)]
    reader: Option<Reader>,
    /// A file of its training split, to take name and columns from; several stand side by side, row by row.
    #[arg(long, value_name = "FILE")]
    example: Vec<PathBuf>,
    /// Where to write the file.
    #[arg(long, value_name = "DIR", default_value = "tasks")]
    directory: PathBuf,
}

/// A value by the name that it has in task files.
fn named<T: serde::de::DeserializeOwned>(name: &str) -> std::result::Result<T, String> {
    T::deserialize(toml::Value::String(name.to_owned())).map_err(|e| e.to_string())
}

pub fn run(context: &Context, args: &NewArgs) -> Result<ExitCode> {
    let path = args.directory.join(format!("{}.toml", args.id));
    let invalid = |message: String| TaskError::Invalid { origin: path.display().to_string(), message };
    if context.registry.task(&args.id, "").is_ok() || path.exists() {
        let message = format!("a task `{}` exists already; choose another id, or edit its file", args.id);
        return Err(invalid(message).into());
    }
    let mut examples = Vec::new();
    for file in &args.example {
        let first = examples.is_empty();
        let given = args.reader.filter(|_| first);
        let extension = file.extension().unwrap_or_default().to_string_lossy();
        let reader = given.or_else(|| Reader::of_extension(&extension)).ok_or_else(|| {
            invalid(format!("nothing is known of files such as {}; give --reader for the first", file.display()))
        })?;
        let columns = match reader {
            Reader::Lines if !first => vec!["label".to_owned()],
            _ => raw_columns(file, reader)?,
        };
        examples.push(ExampleFile { files: siblings(file), reader, columns });
    }
    let parent = args.example.first().and_then(|file| file.parent()).and_then(Path::file_name);
    let layout = parent.map(|name| name.to_string_lossy().into_owned());
    let scaffold = Scaffold {
        id: args.id.clone(),
        format: args.format,
        role: args.role,
        layout: args.layout.clone().or(layout).unwrap_or_else(|| args.id.clone()),
        labels: args.labels.clone(),
        reader: args.reader.or(examples.first().map(|example| example.reader)).unwrap_or(Reader::Jsonl),
        examples,
    };
    let text = scaffold.to_toml(&path.display().to_string())?;
    std::fs::create_dir_all(&args.directory).at("create directory", &args.directory)?;
    std::fs::write(&path, text).at("write", &path)?;
    print(&format!(
        "wrote {}: edit its SQL, files and licence, then load its rows:\n  trestle task check {} --tasks {} --data DIR",
        path.display(),
        args.id,
        args.directory.display()
    ));
    Ok(ExitCode::Success)
}

/// The name of `file`, and those of the files beside it that are named like it for another split.
fn siblings(file: &Path) -> BTreeMap<Split, String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut files = BTreeMap::new();
    let words: [(Split, &[&str]); 2] =
        [(Split::Validation, &["validation", "valid", "val", "dev"]), (Split::Test, &["test"])];
    if name.contains("train") {
        for (split, words) in words {
            let names = words.iter().map(|word| name.replace("train", word));
            files.extend(names.into_iter().find(|name| file.with_file_name(name).is_file()).map(|name| (split, name)));
        }
    }
    files.insert(Split::Train, name);
    files
}
