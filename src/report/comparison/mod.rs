//! Two sets of results on the same data, difference by difference: what got better, what got worse, and what is not clear.
//!
//! Operands are rows of published results (`results/example_scores`), or the output of one score stage. Rows are paired by
//! target and seed; two whole studies by target, row and seed. What the numbers mean is told in [`crate::evaluate::compare`]; the
//! p-values of all differences that are shown are corrected together.

mod output;
mod sides;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::sides::Side;
use super::ReportError;
use crate::evaluate::compare::{CompareRequest, Comparison, Run, SIGNIFICANT, compare, holm, languages, method};
use crate::evaluate::{Group, Setting, SourceNames, groups, headline};
use crate::task::{Registry, SourceLanguage, Traits, study_folder, target_of};

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// Published results of a study.
    Study {
        /// The study's id.
        study: String,
        /// One of its rows; none for all of them.
        row: Option<String>,
        /// The results directory.
        results_dir: PathBuf,
    },
    /// One score stage's output.
    Scores {
        /// What it is called in the output.
        name: String,
        /// The task that was scored.
        target: String,
        /// The language that what predicted was trained in.
        source: SourceLanguage,
        /// `example-scores.parquet`.
        example_scores: PathBuf,
    },
}

impl Operand {
    /// The name in tables.
    pub fn name(&self) -> String {
        match self {
            Operand::Study { study, row: Some(row), .. } => format!("{study}/{row}"),
            Operand::Study { study, row: None, .. } => study.clone(),
            Operand::Scores { name, .. } => name.clone(),
        }
    }

    /// Whether all rows of a study are compared, by name.
    fn is_whole(&self) -> bool {
        matches!(self, Operand::Study { row: None, .. })
    }
}

/// Which differences are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeChoice {
    /// The mean over all languages but the source language; that one where there is no other.
    Headline,
    /// These languages; all that were scored where none is named.
    Languages(Vec<String>),
    /// The groups of a trait: `family`, `script`, `resource`, `pretraining`.
    Groups(String),
}

/// What the statistics are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    /// Seed.
    pub seed: u64,
    /// Resamples behind each interval.
    pub resamples: usize,
    /// Trials behind each p-value.
    pub trials: usize,
}

/// A comparison of two operands.
#[derive(Debug, Clone)]
pub struct ComparisonRequest<'a> {
    /// What differences are counted from.
    pub a: Operand,
    /// What is compared with it.
    pub b: Operand,
    /// Only these targets; all where none is named.
    pub targets: &'a [String],
    /// Which differences.
    pub scopes: ScopeChoice,
    /// Metrics of tasks, and languages.
    pub registry: &'a Registry,
    /// For intervals and p-values.
    pub draws: Draws,
}

/// What a difference says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// B is significantly better.
    Better,
    /// B is significantly worse.
    Worse,
    /// Chance may have made the difference, or there is none.
    NoClearDifference,
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::NoClearDifference => "no clear difference",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// The target task.
    pub target: String,
    /// The row, where whole studies are compared.
    pub row: Option<String>,
    /// Hidden state, in retrieval.
    pub layer: Option<i32>,
    /// What of it stands for a sentence, in retrieval.
    pub pooling: Option<String>,
    /// `accuracy`, `f1`, `mean of f1 and exact_match`.
    pub metric: String,
    /// The numbers, in one scope.
    #[serde(flatten)]
    pub numbers: Comparison,
    /// Its p-value, corrected for all differences that are shown.
    pub p_adjusted: f64,
    /// By `p_adjusted` and the sign.
    pub verdict: Verdict,
}

/// All differences of two operands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparisonReport {
    /// The first operand.
    pub a: String,
    /// The second.
    pub b: String,
    /// By target, row and scope.
    pub differences: Vec<Compared>,
    /// What only one of them has, in words that call them A and B.
    pub not_compared: Vec<String>,
    /// How p-values were computed and corrected.
    pub method: String,
}

impl ComparisonReport {
    /// Whether some difference has this verdict.
    pub fn any(&self, verdict: Verdict) -> bool {
        self.differences.iter().any(|one| one.verdict == verdict)
    }
}

/// Compares two operands in all that they share.
///
/// # Errors
/// A whole study and a single row, an operand that is not there, operands that share nothing, runs that were scored on
/// different examples, or tables that can't be read.
pub fn compare_results(request: &ComparisonRequest<'_>) -> Result<ComparisonReport, ReportError> {
    let whole = request.a.is_whole();
    if whole != request.b.is_whole() {
        let (study, other) = if whole { (&request.a, &request.b) } else { (&request.b, &request.a) };
        return Err(ReportError::WholeAndPart { study: study.name(), other: other.name() });
    }
    let (a, b) = (Side::read(&request.a, "A", request.targets)?, Side::read(&request.b, "B", request.targets)?);
    known(request, "target", request.targets, a.offered().chain(b.offered()))?;
    if let ScopeChoice::Languages(chosen) = &request.scopes {
        known(request, "language", chosen, a.languages().chain(b.languages()))?;
    }
    let (mut found, mut not_compared) = (Vec::new(), Vec::new());
    for target in a.targets() {
        let pairs = sides::paired(&a, &b, whole, target, &mut not_compared);
        for (row, (of_a, of_b)) in pairs {
            let by_setting = sides::by_setting(of_a, of_b);
            if by_setting.is_empty() {
                not_compared.push(format!("{target}: no layer and pooling in common"));
            }
            for (setting, runs) in by_setting {
                let source = sides::source(of_a, of_b);
                found.extend(one(request, target, row.as_deref(), source, &setting, &runs, &mut not_compared)?);
            }
        }
    }
    not_compared.extend(b.targets().filter(|t| !a.has(t)).map(|target| sides::only_in(target, &b)));
    if found.is_empty() {
        let nothing = "they share no target, row and seed".to_owned();
        let problem = if not_compared.is_empty() { nothing } else { not_compared.join("; ") };
        return Err(ReportError::NothingShared { a: request.a.name(), b: request.b.name(), problem });
    }
    let p_values: Vec<f64> = found.iter().map(|one| one.numbers.p_value).collect();
    for (one, adjusted) in found.iter_mut().zip(holm(&p_values)) {
        one.p_adjusted = adjusted;
        one.verdict = match adjusted < SIGNIFICANT {
            true if one.numbers.difference > 0.0 => Verdict::Better,
            true => Verdict::Worse,
            false => Verdict::NoClearDifference,
        };
    }
    let correction = match found.len() {
        1 => "one difference, nothing to correct".to_owned(),
        several => format!("Holm's correction over {several} differences"),
    };
    let method = format!("{}; {correction}", methods(&found, request.draws.trials));
    Ok(ComparisonReport { a: request.a.name(), b: request.b.name(), differences: found, not_compared, method })
}

/// How the p-values were computed; where differences have several numbers of seeds, of each number.
fn methods(differences: &[Compared], trials: usize) -> String {
    let by_seeds = by_seeds(differences);
    if let [(seeds, _)] = by_seeds[..] {
        return method(trials, seeds);
    }
    let of = |(seeds, cells): &(usize, String)| {
        let count = if *seeds == 1 { "one seed".to_owned() } else { format!("{seeds} seeds") };
        format!("{count} ({cells}): {}", method(trials, *seeds))
    };
    by_seeds.iter().map(of).collect::<Vec<_>>().join("; ")
}

/// The numbers of seeds behind differences, each with the targets that have it; where the rows of a target differ, with its rows.
fn by_seeds(differences: &[Compared]) -> Vec<(usize, String)> {
    let mut of_target: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for one in differences {
        of_target.entry(&one.target).or_default().insert(one.numbers.seeds);
    }
    let mut found: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for one in differences {
        let row = one.row.as_deref().filter(|_| of_target[one.target.as_str()].len() > 1);
        let (cell, cells) = (sides::cell(&one.target, row), found.entry(one.numbers.seeds).or_default());
        // Differences of one cell stand together.
        if cells.last() != Some(&cell) {
            cells.push(cell);
        }
    }
    found.into_iter().map(|(seeds, cells)| (seeds, cells.join("; "))).collect()
}

/// Fails where something `chosen` is not among what there is in A or in B.
fn known<'a>(
    request: &ComparisonRequest<'_>,
    what: &'static str,
    chosen: &[String],
    there: impl Iterator<Item = &'a str>,
) -> Result<(), ReportError> {
    let there: BTreeSet<&str> = there.collect();
    let Some(name) = chosen.iter().find(|name| !there.contains(name.as_str())).cloned() else { return Ok(()) };
    let known = there.into_iter().collect::<Vec<_>>().join(", ");
    Err(ReportError::NeitherHas { a: request.a.name(), b: request.b.name(), what, name, known })
}

/// The differences of one target, row and setting; not corrected yet. What was asked for and is not there is told.
fn one(
    request: &ComparisonRequest<'_>,
    target: &str,
    row: Option<&str>,
    source: Option<&SourceLanguage>,
    setting: &Setting,
    pairs: &[(&Run, &Run)],
    not_compared: &mut Vec<String>,
) -> Result<Vec<Compared>, ReportError> {
    let task = request.registry.task(target, "the results")?;
    let (a, b) = (request.a.name(), request.b.name());
    let what = sides::cell(target, row);
    let Some(metric) = task.metric else {
        not_compared.push(format!("{what}: its task has no metric here"));
        return Ok(Vec::new());
    };
    let Some((first, _)) = pairs.first() else { return Ok(Vec::new()) };
    let scopes = scopes(request, target, source, first)?;
    for lacks in lacking(&request.scopes, source, &scopes) {
        let told = format!("{what}: {lacks}");
        // Each layer lacks it.
        if !not_compared.contains(&told) {
            not_compared.push(told);
        }
    }
    let compared = compare(&CompareRequest {
        what: &format!("{what}: {a} and {b}"),
        metric,
        parallel: task.parallel,
        pairs,
        scopes: &scopes,
        seed: request.draws.seed,
        resamples: request.draws.resamples,
        trials: request.draws.trials,
    })?;
    let metric = headline(metric).name;
    let shown = |one: Comparison| Compared {
        target: target.to_owned(),
        row: row.map(str::to_owned),
        layer: setting.layer,
        pooling: setting.pooling.clone(),
        metric: metric.clone(),
        p_adjusted: one.p_value,
        numbers: one,
        verdict: Verdict::NoClearDifference,
    };
    Ok(compared.into_iter().map(shown).collect())
}

/// The scopes that are shown; groups only where both were trained in one language.
fn scopes(
    request: &ComparisonRequest<'_>,
    target: &str,
    source: Option<&SourceLanguage>,
    run: &Run,
) -> Result<Vec<Group>, ReportError> {
    let codes: Vec<&str> = run.languages.keys().map(String::as_str).collect();
    let traits = |code: &&str| Ok(((*code).to_owned(), request.registry.language(code, target)?.traits()));
    let known: BTreeMap<String, Traits> = codes.iter().map(traits).collect::<Result<_, ReportError>>()?;
    let groups = source.map(|source| groups(&codes, &known, source)).unwrap_or_default();
    Ok(match &request.scopes {
        ScopeChoice::Headline => {
            let named = |name: &str| groups.iter().find(|group| group.name == name).cloned();
            let names = source.map(SourceNames::of);
            names.and_then(|names| named(names.others).or_else(|| named(names.source))).into_iter().collect()
        }
        ScopeChoice::Languages(chosen) => {
            languages(run).into_iter().filter(|one| chosen.is_empty() || chosen.contains(&one.name)).collect()
        }
        ScopeChoice::Groups(of) => {
            let of_trait = |name: &str| name.strip_prefix(of.as_str()).is_some_and(|rest| rest.starts_with('='));
            groups.into_iter().filter(|group| of_trait(&group.name)).collect()
        }
    })
}

/// What was chosen and is not among the scopes of a target.
fn lacking(chosen: &ScopeChoice, source: Option<&SourceLanguage>, scopes: &[Group]) -> Vec<String> {
    match chosen {
        ScopeChoice::Languages(codes) => {
            let lacks = codes.iter().filter(|code| scopes.iter().all(|scope| scope.name != **code));
            lacks.map(|code| format!("no language `{code}`")).collect()
        }
        ScopeChoice::Groups(_) | ScopeChoice::Headline if source.is_none() => {
            vec!["trained in two languages, so that only single ones can be compared (--language)".to_owned()]
        }
        ScopeChoice::Groups(of) if scopes.is_empty() => {
            vec![format!("only the source language, which is in no group by {of}")]
        }
        ScopeChoice::Groups(_) | ScopeChoice::Headline => Vec::new(),
    }
}

/// The targets that have a table of example scores in a study's results, with the file, in order.
fn published(results_dir: &Path, study: &str) -> Result<Vec<(String, PathBuf)>, ReportError> {
    let dir = results_dir.join("example_scores").join(study_folder(study));
    if !dir.is_dir() {
        return Err(ReportError::NotPublished { study: study.to_owned(), dir: results_dir.to_owned() });
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(|e| crate::error::FileError::new("read directory", &dir, e))? {
        let entry = entry.map_err(|e| crate::error::FileError::new("read directory", &dir, e))?;
        if let Some(target) = target_of(&entry.path()) {
            found.push((target.to_owned(), entry.path().join(crate::shard::PART)));
        }
    }
    found.sort();
    Ok(found)
}
