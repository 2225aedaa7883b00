//! Charts as SVG. They have a background of their own, so that they are read on a dark page as on a light one.

use anyhow::Result;
use charts_rs::{Color, HorizontalBarChart, LineChart, Series};

use super::report::{Chart, ChartKind, Unit};

/// Points on the page.
const WIDTH: f32 = 860.0;
const LINES_HEIGHT: f32 = 340.0;
/// What title and legend take of a chart of bars, and what a bar does.
const BARS_HEAD: f32 = 110.0;
const BAR: f32 = 13.0;

/// Draw it.
pub(super) fn svg(chart: &Chart) -> Result<String> {
    let mut series: Vec<Series> = chart.series.iter().map(|(name, values)| (*name, single(values)).into()).collect();
    let unit = unit(chart.unit);
    Ok(match chart.kind {
        ChartKind::Bars | ChartKind::Stacks => {
            let is_stack = chart.kind == ChartKind::Stacks;
            for series in &mut series {
                series.label_show = !is_stack;
                series.stack = is_stack.then(|| "stack".to_owned());
            }
            let bars = if is_stack { 2 } else { series.len() + 1 } * chart.categories.len();
            let mut bar = HorizontalBarChart::new(series, chart.categories.clone());
            bar.width = WIDTH;
            bar.height = BARS_HEAD + BAR * bars as f32;
            bar.title.text.clone_from(&chart.title);
            bar.background_color = Color::white();
            bar.series.label.formatter = "{:.1}".to_owned();
            bar.x_axis.formatter = Some(unit);
            bar.svg()?
        }
        ChartKind::Lines => {
            let mut line = LineChart::new(series, chart.categories.clone());
            line.width = WIDTH;
            line.height = LINES_HEIGHT;
            line.title.text.clone_from(&chart.title);
            line.background_color = Color::white();
            line.y_axis_configs[0].formatter = Some(unit);
            line.svg()?
        }
    })
}

/// How the library is told to write a number of the axis.
fn unit(unit: Unit) -> String {
    format!("{{c}} {}", unit.name()).trim_end().to_owned()
}

fn single(values: &[Option<f64>]) -> Vec<Option<f32>> {
    values.iter().map(|value| value.map(|value| value as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(kind: ChartKind) -> Chart {
        Chart {
            name: "name",
            title: "a < b & c".to_owned(),
            categories: vec!["<script>".to_owned(), "second".to_owned()],
            series: vec![("one & only", vec![Some(1.0), None])],
            unit: Unit::Nanoseconds,
            kind,
        }
    }

    #[test]
    fn what_markup_means_something_by_is_escaped() -> Result<()> {
        for kind in [ChartKind::Bars, ChartKind::Stacks, ChartKind::Lines] {
            let svg = svg(&chart(kind))?;
            assert!(svg.contains("a &lt; b &amp; c"), "{svg}");
            assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script>"), "{svg}");
            assert!(svg.contains("one &amp; only"), "{svg}");
        }
        Ok(())
    }

    #[test]
    fn a_chart_has_a_background_of_its_own() -> Result<()> {
        for kind in [ChartKind::Bars, ChartKind::Stacks, ChartKind::Lines] {
            let svg = svg(&chart(kind))?;
            assert!(svg.to_lowercase().contains("fill=\"#ffffff\""), "{svg}");
        }
        Ok(())
    }
}
