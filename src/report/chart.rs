//! Training curves: one panel a phase (and a target), one line a training.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use super::draw::{self, COLORS, Line};
use super::{Cell, ReportError, StudyResults, log};

/// Points of a line: longer logs are averaged over neighbouring steps.
const POINTS: usize = 100;

/// One training in numbers.
#[derive(Debug, Serialize)]
pub(super) struct Training {
    pub label: String,
    /// The row that it belongs to; empty where all rows share it.
    pub row: String,
    /// Index of a colour of the style sheet.
    pub color: usize,
    /// The last optimiser step.
    pub steps: u32,
    /// Mean loss over the last stretch of the line.
    pub loss: f64,
    /// Highest validation score, 0 to 100 (the mean, where several tasks were validated), and its step.
    pub best: Option<(f64, u32)>,
}

/// The losses of some trainings over their steps, and their validation scores.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    pub title: String,
    /// The target that its trainings are for; none for earlier phases.
    pub target: Option<String>,
    pub loss: String,
    /// None where no training was validated twice.
    pub validation: Option<String>,
    pub trainings: Vec<Training>,
}

/// One chart for pretraining, one for the intermediate phase, one for each target; those that have a training.
pub(super) fn charts(results: &StudyResults) -> Result<Vec<Chart>, ReportError> {
    let all: Vec<&Cell> = results.study.targets.iter().flat_map(|target| results.of_target(target)).collect();
    let mut found = vec![
        chart(results, "Pretraining", "pretrain", None, &all)?,
        chart(results, "Intermediate training", "intermediate", None, &all)?,
    ];
    for target in &results.study.targets {
        let title = format!("Target training: {target}");
        found.push(chart(results, &title, "target", Some(target), &results.of_target(target))?);
    }
    Ok(found.into_iter().flatten().collect())
}

/// The chart of one phase; none where it has no training.
fn chart(
    results: &StudyResults,
    title: &str,
    phase: &str,
    target: Option<&String>,
    cells: &[&Cell],
) -> Result<Option<Chart>, ReportError> {
    let mut seen: BTreeSet<&Path> = BTreeSet::new();
    let (mut losses, mut scores, mut trainings) = (Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        let of_phase = cell.training_logs.iter().filter(|(name, _)| name == phase);
        for (_, path) in of_phase.filter(|(_, path)| seen.insert(path)) {
            let curve = averaged(&log::losses(path)?);
            let Some((_, loss)) = curve.last().copied() else { continue };
            // Pretraining is shared by all rows.
            let place = results.study.order.iter().position(|row| *row == cell.at.row);
            let (label, row, color) = match place {
                Some(place) if phase != "pretrain" => {
                    let label = format!("{}, seed {}", cell.at.row, cell.at.seed);
                    (label, cell.at.row.clone(), place % COLORS)
                }
                _ => (phase.to_owned(), String::new(), COLORS - 1),
            };
            let validated = validations(path)?;
            // The earliest of the highest, as the trainer keeps it.
            let best = validated.iter().copied().rev().max_by(|a, b| a.1.total_cmp(&b.1));
            let steps = log::last_step(path)?;
            trainings.push(Training { label, row, color, steps, loss, best: best.map(|(step, score)| (score, step)) });
            losses.push(Line { color, points: curve });
            let points: Vec<(f64, f64)> = validated.iter().map(|(step, score)| (f64::from(*step), *score)).collect();
            if points.len() > 1 {
                scores.push(Line { color, points });
            }
        }
    }
    if trainings.is_empty() {
        return Ok(None);
    }
    let validation = if scores.is_empty() { None } else { Some(draw::lines(&scores, "step")?) };
    let loss = draw::lines(&losses, "step")?;
    Ok(Some(Chart { title: title.to_owned(), target: target.cloned(), loss, validation, trainings }))
}

/// Step and score of each evaluation, the mean over its tasks.
fn validations(path: &Path) -> Result<Vec<(u32, f64)>, ReportError> {
    let rows = log::validations(path)?;
    let mean = |rows: &[(u32, f64)]| rows.iter().map(|(_, score)| score).sum::<f64>() / rows.len() as f64;
    Ok(rows.chunk_by(|a, b| a.0 == b.0).map(|tasks| (tasks[0].0, 100.0 * mean(tasks))).collect())
}

/// Mean step and mean loss of at most [`POINTS`] neighbourhoods of (nearly) equal size; losses that are not finite are
/// left out.
fn averaged(losses: &[(u32, f32)]) -> Vec<(f64, f64)> {
    let losses: Vec<(f64, f64)> =
        losses.iter().filter(|(_, loss)| loss.is_finite()).map(|(s, l)| (f64::from(*s), f64::from(*l))).collect();
    let size = losses.len().div_ceil(POINTS).max(1);
    let mean =
        |chunk: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| chunk.iter().map(of).sum::<f64>() / chunk.len() as f64;
    losses.chunks(size).map(|chunk| (mean(chunk, |p| p.0), mean(chunk, |p| p.1))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn long_logs_are_averaged_and_broken_losses_left_out() {
        let mut losses: Vec<(u32, f32)> = (1..=1000).map(|step| (step, step as f32)).collect();
        let curve = averaged(&losses);
        assert_eq!(curve.len(), 100);
        assert_eq!(curve[0], (5.5, 5.5));
        losses[0].1 = f32::NAN;
        assert!(averaged(&losses).iter().all(|(_, loss)| loss.is_finite()));
        assert!(averaged(&[]).is_empty());
    }

    #[test]
    fn each_training_is_drawn_once() {
        let dir = tempfile::tempdir().unwrap();
        let charts = charts(&fixture::results(dir.path())).unwrap();
        let lines: Vec<(&str, usize)> = charts.iter().map(|c| (c.title.as_str(), c.trainings.len())).collect();
        assert_eq!(
            lines,
            [
                ("Pretraining", 1),
                ("Intermediate training", 2),
                ("Target training: xnli", 4),
                ("Target training: xquad", 4)
            ]
        );
        assert!(charts.iter().all(|chart| chart.loss.matches("<polyline").count() >= chart.trainings.len()));
        let training = &charts[2].trainings[0];
        assert_eq!((training.label.as_str(), training.row.as_str(), training.steps), ("none, seed 1", "none", 40));
        // Validated at steps 20 and 40, at 50 and 70.
        assert_eq!(training.best, Some((70.0, 40)));
        assert!(charts[2].validation.is_some() && charts[0].validation.is_none());
    }
}
