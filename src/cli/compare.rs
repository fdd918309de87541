use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Context, print};
use crate::error::{ExitCode, Result};
use crate::report::{ComparisonRequest, Draws, Operand, ScopeChoice, Verdict, compare_results};
use crate::store::{Artifact, Store};
use crate::study::{BOOTSTRAP_SEED, Kind, RESAMPLES, Scores, StudyError, TRIALS};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle compare mini/none mini/mnli\n  \
    trestle compare mini/none mini/mnli --language all --target xnli,udpos\n  \
    trestle compare mini/none mini/multi --group family --format markdown\n  \
    trestle compare mini mini --home-b ../before/work --fail-on any\n\n\
    Exit codes: 0 where nothing is significantly worse in B, 9 where something is (--fail-on says otherwise), 2 for a whole study \
    and a single row, 3 for a row, target or language that is not in the results, 4 where the two were not scored on the same \
    examples, 5 where a study has no results, no score has that key or label, or the two share nothing.")]
pub struct CompareArgs {
    /// What differences are counted from: STUDY/ROW of published results, a whole STUDY, or a score artifact (the beginning of its
    /// key, or STUDY:LABEL).
    #[arg(value_name = "A")]
    a: String,
    /// What is compared with it, scored on the same examples: of a whole study another, of a row or a score artifact one of these
    /// two.
    #[arg(value_name = "B")]
    b: String,
    /// The store that B is in, if not that of A.
    #[arg(long, value_name = "DIR")]
    home_b: Option<PathBuf>,
    /// Only these targets.
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    target: Vec<String>,
    /// Compares language by language, in these (`all`: in each) [default: the mean over the non-English languages].
    #[arg(long, value_name = "CODE", value_delimiter = ',', conflicts_with = "group")]
    language: Vec<String>,
    /// Compares means over groups of languages: of one family, script, level of resources, or seen and unseen in XLM-R's
    /// pretraining.
    #[arg(long, value_name = "TRAIT", value_parser = ["family", "script", "resource", "pretraining"])]
    group: Option<String>,
    /// What makes the exit code 9.
    #[arg(long, value_enum, default_value_t = FailOn::Worse)]
    fail_on: FailOn,
    /// What to write.
    #[arg(long, value_enum, default_value_t = CompareFormat::Table)]
    format: CompareFormat,
    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A significant loss.
    Worse,
    /// A significant difference.
    Any,
    /// Nothing.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CompareFormat {
    /// A table for the eye.
    Table,
    /// A table for a document.
    Markdown,
    /// Every number, one line a difference.
    Csv,
    /// Every number.
    Json,
}

pub fn run(context: &Context, args: &CompareArgs) -> Result<ExitCode> {
    let home_b = args.home_b.as_deref().unwrap_or(&context.home);
    let (a, b) = (operand(&args.a, &context.home)?, operand(&args.b, home_b)?);
    for target in &args.target {
        context.registry.task(target, "--target")?;
    }
    let scopes = match (&args.group, args.language.as_slice()) {
        (Some(group), _) => ScopeChoice::Groups(group.clone()),
        (None, []) => ScopeChoice::Headline,
        (None, [all]) if all == "all" => ScopeChoice::Languages(Vec::new()),
        (None, codes) => {
            for code in codes {
                context.registry.language(code, "--language")?;
            }
            ScopeChoice::Languages(codes.to_vec())
        }
    };
    let draws = Draws { seed: BOOTSTRAP_SEED, resamples: RESAMPLES, trials: TRIALS };
    let request = ComparisonRequest { a, b, targets: &args.target, scopes, registry: &context.registry, draws };
    let report = compare_results(&request)?;
    let text = match args.format {
        _ if args.json => report.to_json(),
        CompareFormat::Table => report.to_terminal(super::colours()),
        CompareFormat::Markdown => report.to_markdown(),
        CompareFormat::Csv => report.to_csv(),
        CompareFormat::Json => report.to_json(),
    };
    print(text.trim_end());
    if args.format == CompareFormat::Csv && !args.json {
        // Lines of CSV have no place for it.
        for what in &report.not_compared {
            let _ = writeln!(std::io::stderr(), "not compared: {what}");
        }
    }
    let failed = match args.fail_on {
        FailOn::Worse => report.any(Verdict::Worse),
        FailOn::Any => report.any(Verdict::Worse) || report.any(Verdict::Better),
        FailOn::Never => false,
    };
    Ok(if failed { ExitCode::Mismatch } else { ExitCode::Success })
}

/// What `text` names in the store at `home`.
fn operand(text: &str, home: &Path) -> Result<Operand> {
    let is_key = text.len() >= 6 && text.chars().all(|c| c.is_ascii_hexdigit());
    if is_key || text.contains(':') {
        let scores = |artifact: Artifact| -> Result<Operand> {
            let scores = Scores::of(&artifact)?;
            let request = scores.request()?;
            let (name, target, source) = (text.to_owned(), request.task, request.source);
            Ok(Operand::Scores { name, target, source, example_scores: scores.examples() })
        };
        let artifacts = Store::new(home).list()?;
        let named = |artifact: &Artifact| match is_key {
            true => artifact.manifest.key.as_str().starts_with(text),
            false => artifact.manifest.label == text,
        };
        let mut named: Vec<Artifact> =
            artifacts.into_iter().filter(|artifact| Scores::is(artifact) && named(artifact)).collect();
        return match (named.pop(), named.len()) {
            (Some(one), 0) => scores(one),
            (_, more) => {
                let (name, home) = (text.to_owned(), home.to_owned());
                Err(StudyError::NoScores { name, home, found: if more > 0 { more + 1 } else { 0 } }.into())
            }
        };
    }
    let (study, row) = match text.split_once('/') {
        Some((study, row)) => (study, Some(row.to_owned())),
        None => (text, None),
    };
    Ok(Operand::Study { study: study.to_owned(), row, results_dir: home.join("results") })
}
