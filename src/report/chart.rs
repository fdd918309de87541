//! Training curves as the numbers of an inline SVG: one chart a phase (and a target), one line a training.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::{ReportError, StudyResults, stage};

/// Size of a chart in its own units.
pub(super) const WIDTH: f64 = 420.0;
pub(super) const HEIGHT: f64 = 230.0;
/// Space around the plot for tick labels.
const LEFT: f64 = 42.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 34.0;
/// Points of a line: longer logs are averaged over neighbouring steps.
const POINTS: usize = 100;
/// Colours that the page's style sheet defines.
pub(super) const COLORS: usize = 8;

/// A mark on an axis.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Tick {
    /// Its place along the axis, in the chart's units.
    pub at: f64,
    pub label: String,
}

/// One training.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub label: String,
    /// Index of a colour of the style sheet.
    pub color: usize,
    /// `x,y` pairs in the chart's units.
    pub points: String,
    /// Mean loss over the last stretch of the line.
    pub last: f64,
}

/// The losses of some trainings over their steps.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    pub title: String,
    pub lines: Vec<Line>,
    pub x_ticks: Vec<Tick>,
    pub y_ticks: Vec<Tick>,
    /// Edges of the plot: left, right, top, bottom.
    pub plot: [f64; 4],
}

/// One chart for pretraining, one for the intermediate phase, one for each target; those that have a training.
pub(super) fn charts(results: &StudyResults) -> Result<Vec<Chart>, ReportError> {
    let mut charts = vec![
        chart(results, "Pretraining".to_owned(), "pretrain", None)?,
        chart(results, "Intermediate training".to_owned(), "intermediate", None)?,
    ];
    for target in &results.study.targets {
        charts.push(chart(results, format!("Target training: {target}"), "target", Some(target))?);
    }
    charts.retain(|chart| !chart.lines.is_empty());
    Ok(charts)
}

fn chart(results: &StudyResults, title: String, phase: &str, target: Option<&str>) -> Result<Chart, ReportError> {
    let mut seen: BTreeSet<&Path> = BTreeSet::new();
    let mut curves = Vec::new();
    let targets = results.study.targets.iter().map(String::as_str).filter(|t| target.is_none_or(|only| only == *t));
    for cell in targets.flat_map(|target| results.of_target(target)) {
        let of_phase = cell.training_logs.iter().filter(|(name, _)| name == phase);
        for (_, log) in of_phase.filter(|(_, log)| seen.insert(log)) {
            // Pretraining is shared by all rows.
            let (label, color) = match results.study.order.iter().position(|row| *row == cell.intermediate) {
                Some(place) if phase != "pretrain" => {
                    (format!("{}, seed {}", cell.intermediate, cell.seed), place % COLORS)
                }
                _ => (phase.to_owned(), COLORS - 1),
            };
            curves.push((label, color, averaged(&stage::losses(log)?)));
        }
    }
    curves.retain(|(.., curve)| !curve.is_empty());
    let largest = |of: fn(&(f64, f64)) -> f64| curves.iter().flat_map(|(.., c)| c).map(of).fold(0.0, f64::max);
    let (x_ticks, x_end) = ticks(largest(|p| p.0), true);
    let (y_ticks, y_end) = ticks(largest(|p| p.1), false);
    let x = |step: f64| LEFT + (WIDTH - LEFT - RIGHT) * step / x_end;
    let y = |loss: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * loss / y_end;
    let lines = curves.into_iter().map(|(label, color, curve)| {
        let mut points = String::new();
        for (step, loss) in &curve {
            // Writing to a string can't fail.
            let _ = write!(points, "{:.1},{:.1} ", x(*step), y(*loss));
        }
        Line { label, color, points: points.trim_end().to_owned(), last: curve.last().map_or(0.0, |(_, loss)| *loss) }
    });
    let lines = lines.collect();
    let place = |ticks: Vec<(f64, String)>, axis: &dyn Fn(f64) -> f64| {
        ticks.into_iter().map(|(value, label)| Tick { at: tenth(axis(value)), label }).collect()
    };
    Ok(Chart {
        title,
        lines,
        x_ticks: place(x_ticks, &x),
        y_ticks: place(y_ticks, &y),
        plot: [LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM],
    })
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
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

/// Round marks from 0 to the first that reaches `largest`, and that last mark; whole numbers where `whole` asks.
fn ticks(largest: f64, whole: bool) -> (Vec<(f64, String)>, f64) {
    let rough = if largest > 0.0 { largest / 4.0 } else { 1.0 };
    let power = 10f64.powf(rough.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    let step = round.unwrap_or(rough).max(if whole { 1.0 } else { 0.0 });
    let count = (largest / step).ceil().max(1.0) as usize;
    let decimals = if step >= 1.0 { 0 } else { (-step.log10()).ceil() as usize };
    let marks = (0..=count).map(|i| i as f64 * step);
    (marks.map(|mark| (mark, format!("{mark:.decimals$}"))).collect(), count as f64 * step)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_largest_value() {
        let labels = |largest, whole| ticks(largest, whole).0.into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(6.4, false), ["0", "2", "4", "6", "8"]);
        assert_eq!(labels(0.93, false), ["0.0", "0.5", "1.0"]);
        assert_eq!(labels(1000.0, true), ["0", "500", "1000"]);
        assert_eq!(labels(3.0, true), ["0", "1", "2", "3"]);
        assert_eq!(labels(0.0, true), ["0", "1"]);
    }

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
    fn each_training_is_drawn_once_and_stays_inside() {
        let dir = tempfile::tempdir().unwrap();
        let charts = charts(&fixture::results(dir.path())).unwrap();
        let lines: Vec<(&str, usize)> = charts.iter().map(|c| (c.title.as_str(), c.lines.len())).collect();
        assert_eq!(
            lines,
            [
                ("Pretraining", 1),
                ("Intermediate training", 2),
                ("Target training: xnli", 4),
                ("Target training: xquad", 4)
            ]
        );
        for point in charts.iter().flat_map(|c| &c.lines).flat_map(|l| l.points.split(' ')) {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y), "{point}");
        }
    }
}
