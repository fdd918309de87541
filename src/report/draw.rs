//! Charts as inline SVG, drawn by `plotters`.
//!
//! A chart's colours are only names: the page's style sheet gives every colour of [`palette`] a value for light, dark and
//! print by matching the SVG's attributes. Sizes are in units of a chart [`WIDTH`] wide, which the page scales to its panel.
//! The numbers behind a chart always stand in a table beside it, so a chart carries no text but its axes.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::element::PathElement;
use plotters::prelude::{
    ChartBuilder, DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, IntoFont, LineSeries, RGBColor, Rectangle,
    SVGBackend, TRANSPARENT,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, ShapeStyle, TextStyle};

use super::ReportError;

/// Width of every chart.
const WIDTH: u32 = 360;
/// Height of a chart of lines.
const HEIGHT: u32 = 190;
/// plotters rounds places to whole units: it draws this much larger, and the view box scales back.
const SCALE: u32 = 4;
/// Height of text.
const TEXT: f64 = 11.0;
/// Height of a bar and of the space between bands.
const BAR: f64 = 7.0;
const GAP: f64 = 7.0;
/// Height of a bar that stands alone in its band.
const SINGLE: f64 = 11.0;
/// Width of a character, about.
const LETTER: f64 = 6.2;

/// Colours of rows and labels, by number; one that is larger begins again.
pub(super) const COLORS: usize = PALETTE.len();
const PALETTE: [(u8, u8, u8); 12] = [
    (0, 104, 168),
    (199, 83, 0),
    (0, 129, 93),
    (176, 80, 138),
    (111, 79, 176),
    (141, 106, 0),
    (60, 141, 188),
    (106, 106, 106),
    (150, 30, 50),
    (70, 130, 30),
    (20, 60, 130),
    (120, 80, 50),
];
/// Text, grid, whiskers, and what of a whisker lies on its bar.
const MUTED: RGBColor = RGBColor(87, 97, 109);
const LINE: RGBColor = RGBColor(214, 220, 226);
const INK: RGBColor = RGBColor(27, 32, 39);
const PANEL: RGBColor = RGBColor(245, 247, 249);

/// Every colour that a chart may hold, as its SVG writes it, and the style sheet's name for it.
pub(super) fn palette() -> Vec<(String, String)> {
    let hex = |(r, g, b): (u8, u8, u8)| format!("#{r:02X}{g:02X}{b:02X}");
    let named = [(MUTED, "muted"), (LINE, "line"), (INK, "ink"), (PANEL, "panel")];
    let rows = PALETTE.iter().enumerate().map(|(index, color)| (hex(*color), format!("c{index}")));
    rows.chain(named.map(|(color, name)| (hex((color.0, color.1, color.2)), name.to_owned()))).collect()
}

fn color(number: usize) -> RGBColor {
    let (r, g, b) = PALETTE[number % COLORS];
    RGBColor(r, g, b)
}

/// A line through points in the chart's own units.
pub(super) struct Line {
    pub color: usize,
    pub points: Vec<(f64, f64)>,
}

/// A bar from zero to its value, with the ends of an interval.
pub(super) struct Bar {
    pub color: usize,
    pub value: f64,
    pub interval: Option<(f64, f64)>,
}

impl Bar {
    /// The interval in pieces, each with a colour that stands out from what it lies on.
    fn whisker(&self) -> impl Iterator<Item = (f64, f64, RGBColor)> {
        let (from, to) = self.interval.unwrap_or_default();
        let (begin, end) = (self.value.min(0.0), self.value.max(0.0));
        let pieces = [(from, to.min(begin), INK), (from.max(begin), to.min(end), PANEL), (from.max(end), to, INK)];
        pieces.into_iter().filter(|(from, to, _)| from < to)
    }
}

/// Bars that belong together, named on the left.
pub(super) struct Band {
    pub label: String,
    /// What stands on the right.
    pub note: String,
    /// In the order of the legend, with the places of those that there are no numbers for.
    pub bars: Vec<Option<Bar>>,
}

/// Shares of one whole, from left to right.
pub(super) struct Stack {
    pub label: String,
    pub note: String,
    /// Colour and share, 0 to 1.
    pub parts: Vec<(usize, f64)>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn failed<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> ReportError {
    ReportError::Render(error.to_string())
}

fn scaled(length: f64) -> i32 {
    (length * f64::from(SCALE)).round() as i32
}

fn text<'a>(horizontal: HPos) -> TextStyle<'a> {
    // plotters writes a font's size divided by 1.24.
    let font = ("sans-serif", TEXT * f64::from(SCALE) * 1.24).into_font();
    TextStyle::from(font).color(&MUTED).pos(Pos::new(horizontal, VPos::Center))
}

/// Draws on a canvas `height` high. The SVG has a view box and no size of its own: it takes the width of what holds it.
fn svg(height: f64, draw: impl FnOnce(&Area) -> Result<(), ReportError>) -> Result<String, ReportError> {
    let mut out = String::new();
    let size = (WIDTH * SCALE, scaled(height).max(1) as u32);
    {
        let area = SVGBackend::with_string(&mut out, size).into_drawing_area();
        draw(&area)?;
        area.present().map_err(failed)?;
    }
    // Within a page SVG needs no name space; opaque and one unit wide are what an element is by itself.
    let sized = format!("width=\"{}\" height=\"{}\" ", size.0, size.1);
    let out = out.replacen(&sized, "aria-hidden=\"true\" ", 1).replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    Ok(out.replace(" opacity=\"1\"", "").replace(" stroke-width=\"1\"", ""))
}

/// Lines over steps, both axes from 0 to a little more than the largest value. Axis numbers are whole on the x axis.
pub(super) fn lines(lines: &[Line], x_name: &str) -> Result<String, ReportError> {
    let largest = |of: fn(&(f64, f64)) -> f64| {
        lines.iter().flat_map(|line| &line.points).map(of).fold(0.0, f64::max).max(f64::MIN_POSITIVE)
    };
    let (x_end, y_end) = (largest(|point| point.0), largest(|point| point.1) * 1.05);
    svg(f64::from(HEIGHT), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_top(scaled(6.0))
            .margin_right(scaled(14.0))
            .x_label_area_size(scaled(28.0))
            .y_label_area_size(scaled(34.0))
            .build_cartesian_2d(0.0..x_end, 0.0..y_end)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(stroke(LINE, 1.0))
            .axis_style(stroke(LINE, 1.0))
            .label_style(text(HPos::Center))
            .x_labels(5)
            .y_labels(5)
            .x_label_formatter(&|step| format!("{step:.0}"))
            .y_label_formatter(&|value| tidy(*value))
            .set_all_tick_mark_size(scaled(3.0))
            .x_desc(x_name)
            .axis_desc_style(text(HPos::Center))
            .draw()
            .map_err(failed)?;
        for line in lines {
            let style = stroke(color(line.color), 1.6);
            chart.draw_series(LineSeries::new(line.points.iter().copied(), style)).map_err(failed)?;
        }
        Ok(())
    })
}

fn stroke(color: RGBColor, width: f64) -> ShapeStyle {
    color.stroke_width(scaled(width) as u32)
}

/// Bands of bars from top to bottom over `range`, which holds zero.
pub(super) fn bars(bands: &[Band], range: Range<f64>) -> Result<String, ReportError> {
    let height = |band: &Band| if band.bars.len() > 1 { BAR * band.bars.len() as f64 } else { SINGLE };
    let total: f64 = bands.iter().map(|band| height(band) + GAP).sum();
    let left = side(bands.iter().map(|band| &band.label));
    let right = side(bands.iter().map(|band| &band.note)).max(14.0);
    let axis = 20.0;
    svg(total + axis, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_right(scaled(right))
            .y_label_area_size(scaled(left))
            .x_label_area_size(scaled(axis))
            .build_cartesian_2d(range, -total..0.0)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(stroke(LINE, 1.0))
            .axis_style(stroke(LINE, 1.0))
            .label_style(text(HPos::Center))
            .x_labels(5)
            .x_label_formatter(&|value| tidy(*value))
            .set_all_tick_mark_size(scaled(3.0))
            .draw()
            .map_err(failed)?;
        let mut top = GAP / 2.0;
        for band in bands {
            let thickness = if band.bars.len() > 1 { BAR } else { SINGLE };
            for (place, bar) in band.bars.iter().enumerate() {
                let Some(bar) = bar else { continue };
                let (high, low) = (-(top + thickness * place as f64), -(top + thickness * (place as f64 + 1.0)));
                let shape = Rectangle::new([(0.0, high - 0.5), (bar.value, low + 0.5)], color(bar.color).filled());
                chart.draw_series([shape]).map_err(failed)?;
                let middle = f64::midpoint(high, low);
                for (from, to, color) in bar.whisker() {
                    let whisker = PathElement::new(vec![(from, middle), (to, middle)], stroke(color, 1.5));
                    chart.draw_series([whisker]).map_err(failed)?;
                }
            }
            beside(area, (left, right), top + height(band) / 2.0, &band.label, &band.note)?;
            top += height(band) + GAP;
        }
        Ok(())
    })
}

/// Wholes divided into shares, from top to bottom.
pub(super) fn stacks(stacks: &[Stack]) -> Result<String, ReportError> {
    let total = (SINGLE + GAP) * stacks.len() as f64;
    let left = side(stacks.iter().map(|stack| &stack.label));
    let right = side(stacks.iter().map(|stack| &stack.note));
    let span = f64::from(WIDTH) - left - right;
    svg(total, |area| {
        for (place, stack) in stacks.iter().enumerate() {
            let top = (SINGLE + GAP) * place as f64 + GAP / 2.0;
            let mut from = 0.0;
            for (number, share) in &stack.parts {
                let (begin, end) = (scaled(left + span * from), scaled(left + span * (from + share)));
                let corners = [(begin, scaled(top)), (end, scaled(top + SINGLE))];
                area.draw(&Rectangle::new(corners, color(*number).filled())).map_err(failed)?;
                from += share;
            }
            beside(area, (left, right), top + SINGLE / 2.0, &stack.label, &stack.note)?;
        }
        Ok(())
    })
}

/// Room for the longest of some labels.
fn side<'a>(labels: impl Iterator<Item = &'a String>) -> f64 {
    labels.map(|label| label.chars().count() as f64 * LETTER + 8.0).fold(0.0, f64::max)
}

/// Writes what stands on both sides of a band.
fn beside(area: &Area, (left, right): (f64, f64), middle: f64, label: &str, note: &str) -> Result<(), ReportError> {
    let y = scaled(middle);
    area.draw_text(label, &text(HPos::Right), (scaled(left - 6.0), y)).map_err(failed)?;
    area.draw_text(note, &text(HPos::Left), (scaled(f64::from(WIDTH) - right + 6.0), y)).map_err(failed)
}

/// A number of an axis without zeros at its end.
fn tidy(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of one attribute of all elements, in order.
    fn attributes(svg: &str, element: &str, name: &str) -> Vec<String> {
        let of_element = svg.split('<').filter(|part| part.starts_with(&format!("{element} ")));
        let value = |part: &str| part.split(&format!(" {name}=\"")).nth(1)?.split('"').next().map(str::to_owned);
        of_element.filter_map(value).collect()
    }

    #[test]
    fn lines_stay_inside_and_have_only_colours_of_the_palette() {
        let curve = |color, height: f64| Line {
            color,
            points: (1..=50).map(|x| (f64::from(x), height / f64::from(x))).collect(),
        };
        let svg = lines(&[curve(0, 4.0), curve(13, 2.0)], "step").unwrap();
        let polylines = attributes(&svg, "polyline", "points");
        assert!(polylines.len() >= 2);
        for point in polylines.iter().flat_map(|points| points.split_whitespace()) {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (u32, u32) = (x.parse().unwrap(), y.parse().unwrap());
            assert!(x <= WIDTH * SCALE && y <= HEIGHT * SCALE, "{point}");
        }
        let known: Vec<String> = palette().into_iter().map(|(hex, _)| hex).chain(["none".to_owned()]).collect();
        for name in ["fill", "stroke"] {
            for element in ["line", "polyline", "rect", "text"] {
                for found in attributes(&svg, element, name) {
                    assert!(known.contains(&found), "{element} {name} {found}");
                }
            }
        }
        // The thirteenth colour is the second again.
        assert!(svg.contains("#C75300") && svg.contains("#0068A8") && svg.contains("step"), "{svg}");
        assert!(svg.starts_with("<svg aria-hidden=\"true\" viewBox"), "{}", &svg[..80]);
    }

    #[test]
    fn bars_are_as_long_as_their_values() {
        let bar = |value| Bar { color: 1, value, interval: Some((value - 5.0, value + 5.0)) };
        let band = |label: &str, values: &[f64]| Band {
            label: label.to_owned(),
            note: String::new(),
            bars: values.iter().map(|value| Some(bar(*value))).collect(),
        };
        let svg = bars(&[band("Uralic", &[20.0, 40.0]), band("a < b", &[80.0])], 0.0..100.0).unwrap();
        let widths: Vec<f64> = attributes(&svg, "rect", "width").iter().map(|width| width.parse().unwrap()).collect();
        let [first, second, third] = widths.as_slice() else { panic!("{widths:?}") };
        assert!((second / first - 2.0).abs() < 0.02 && (third / first - 4.0).abs() < 0.04, "{widths:?}");
        assert!(svg.contains("Uralic") && svg.contains("a &lt; b"));
    }

    #[test]
    fn a_whisker_has_one_colour_on_its_bar_and_another_beside_it() {
        let pieces = |value, from, to| -> Vec<(f64, f64, bool)> {
            let bar = Bar { color: 0, value, interval: Some((from, to)) };
            bar.whisker().map(|(from, to, color)| (from, to, color == PANEL)).collect()
        };
        assert_eq!(pieces(50.0, 45.0, 55.0), [(45.0, 50.0, true), (50.0, 55.0, false)]);
        assert_eq!(pieces(1.0, -1.0, 3.0), [(-1.0, 0.0, false), (0.0, 1.0, true), (1.0, 3.0, false)]);
        assert_eq!(pieces(-4.0, -6.0, -2.0), [(-6.0, -4.0, false), (-4.0, -2.0, true)]);
        assert_eq!(Bar { color: 0, value: 5.0, interval: None }.whisker().count(), 0);
    }

    #[test]
    fn shares_fill_the_whole() {
        let stack = Stack { label: "test".to_owned(), note: "10".to_owned(), parts: vec![(0, 0.25), (1, 0.75)] };
        let svg = stacks(&[stack]).unwrap();
        let number =
            |name| -> Vec<f64> { attributes(&svg, "rect", name).iter().map(|value| value.parse().unwrap()).collect() };
        let (x, width) = (number("x"), number("width"));
        assert!((x[0] + width[0] - x[1]).abs() <= 1.0 && (width[1] / width[0] - 3.0).abs() < 0.02, "{x:?} {width:?}");
    }

    #[test]
    fn axis_numbers_have_no_empty_digits() {
        let shown: Vec<String> = [0.0, 0.5, 20.0, -0.001, 1.25, -10.0].map(tidy).into();
        assert_eq!(shown, ["0", "0.5", "20", "0", "1.25", "-10"]);
    }
}
