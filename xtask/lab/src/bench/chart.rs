//! Charts as SVG. They have a background of their own, so that they are read on a dark page as on a light one.

use anyhow::Result;
use charts_rs::{Color, HorizontalBarChart, Series};

use super::report::{Chart, ChartKind, Unit};

/// Points on the page.
const WIDTH: f32 = 860.0;
/// The heights of title, legend, axis and bar.
const FRAME: f32 = 110.0;
const BAR: f32 = 13.0;
/// Room for labels that another font makes wider than the one that they were measured with.
const SLACK: f32 = 32.0;

/// Draw it.
pub(super) fn svg(chart: &Chart) -> Result<String> {
    let is_stack = chart.kind == ChartKind::Stacks;
    let series: Vec<Series> = chart.series.iter().map(|(name, values)| series(name, values, is_stack)).collect();
    let bars = u16::try_from(chart.categories.len() * if is_stack { 2 } else { series.len() + 1 })?;
    // The library begins at the bottom.
    let categories = chart.categories.iter().rev().cloned().collect();
    let mut bar = HorizontalBarChart::new(series, categories);
    bar.width = WIDTH;
    bar.height = FRAME + BAR * f32::from(bars);
    bar.title.text.clone_from(&chart.title);
    bar.background_color = Color::white();
    let precision = if matches!(chart.unit, Unit::Ratio) { "{:.2}" } else { "{:.1}" };
    precision.clone_into(&mut bar.series.label.formatter);
    bar.x_axis.name_gap = SLACK;
    bar.margin.left += SLACK;
    bar.margin.right += SLACK;
    // The axis of the values, which is at the bottom here.
    bar.y_axis_configs[0].formatter = Some(format!("{{c}} {}", chart.unit.name()).trim_end().to_owned());
    Ok(bar.svg()?)
}

fn series(name: &str, values: &[Option<f64>], is_stack: bool) -> Series {
    let values: Vec<Option<f32>> = values.iter().rev().map(|value| value.map(|value| value as f32)).collect();
    let mut series = Series::from((name, values));
    series.label_show = !is_stack;
    series.stack = is_stack.then(|| "all".to_owned());
    series
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
        for kind in [ChartKind::Bars, ChartKind::Stacks] {
            let svg = svg(&chart(kind))?;
            assert!(svg.contains("a &lt; b &amp; c"), "{svg}");
            assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script>"), "{svg}");
            assert!(svg.contains("one &amp; only"), "{svg}");
        }
        Ok(())
    }

    #[test]
    fn a_chart_has_a_background_of_its_own() -> Result<()> {
        for kind in [ChartKind::Bars, ChartKind::Stacks] {
            let svg = svg(&chart(kind))?;
            assert!(svg.to_lowercase().contains("fill=\"#ffffff\""), "{svg}");
        }
        Ok(())
    }
}
