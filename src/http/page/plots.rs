//! Plots of the last day on the overview: SVG that is drawn here, each with its sentence and its table for whoever does not see it. Colours are
//! in the style, since the policy of the pages allows no style in an element.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::overview::count;
use crate::entities::Side;
use crate::sync::texts::duration_words;
use crate::tasks::{self, Deps};
use crate::telemetry::recent::{CLASSES, Calls, Day, HOURS, Hour, LATENCY_BOUNDS, class_of_share};

/// Size of a plot, and of the area that its bars have in it, in its own units.
const WIDTH: u64 = 320;
const HEIGHT: u64 = 150;
const LEFT: u64 = 40;
const RIGHT: u64 = 316;
const TOP: u64 = 12;
const BOTTOM: u64 = 122;

/// Short names of the classes of propagation latency.
const CLASS_NAMES: [&str; CLASSES] = ["5s", "15s", "30s", "1m", "2m", "5m", "10m", "1h", "4h", "more"];

/// Bar of a plot: one number on top of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bar {
    /// Words below the bar; empty for none.
    label: &'static str,
    /// Words in the first column of the table.
    row: String,
    parts: [u64; 2],
}

/// Plot with its words.
struct Plot {
    id: &'static str,
    title: String,
    summary: String,
    /// Heads of the table: of its first column, and of each number.
    heads: Vec<&'static str>,
    /// True if the two numbers are in colours of their own.
    has_key: bool,
    bars: Vec<Bar>,
    /// Number of places for bars; those before the first bar are empty.
    places: usize,
    /// Number at which a line is drawn.
    limit: Option<u64>,
}

/// Returns the section with all plots.
pub(super) fn section(deps: &Deps, now: DateTime<Utc>) -> Markup {
    let day = deps.metrics.recent.day(now);
    let plots =
        [latency(&day), carried(&day), calls(deps, Side::Google, &day), calls(deps, Side::Company, &day)];
    html! {
        section aria-labelledby="course" {
            h2 id="course" { "The last day" }
            p class="small soft" {
                "Counted by this instance alone"
                @if let Some(since) = day.since { ", since it started at " (since.format("%H:%M UTC on %F").to_string()) }
                "."
            }
            div class="plots" { @for plot in &plots { (figure(plot)) } }
        }
    }
}

fn latency(day: &Day) -> Plot {
    let sums = day.latency();
    let all: u64 = sums.iter().sum();
    let summary = match (class_of_share(&sums, 50), class_of_share(&sums, 95)) {
        (Some(half), Some(most)) => format!(
            "Of {}, half arrived {} and 95 % {}.",
            number(all, "comment or file", "comments and files"),
            class_words(half),
            class_words(most)
        ),
        (None, _) | (_, None) => "No comment and no file was carried yet.".to_owned(),
    };
    let bars = sums.into_iter().zip(CLASS_NAMES).enumerate();
    let bars = bars.map(|(class, (count, label))| Bar { label, row: class_words(class), parts: [count, 0] });
    Plot {
        id: "plot-latency",
        title: "Time until arrival".to_owned(),
        summary,
        heads: vec!["Arrived", "Comments and files"],
        has_key: false,
        bars: bars.collect(),
        places: CLASSES,
        limit: None,
    }
}

fn class_words(class: usize) -> String {
    let words = |seconds: &u32| duration_words(chrono::Duration::seconds(i64::from(*seconds)));
    match (LATENCY_BOUNDS.get(class), LATENCY_BOUNDS.last()) {
        (Some(bound), _) => format!("within {}", words(bound)),
        (None, last) => format!("in more than {}", last.map(words).unwrap_or_default()),
    }
}

fn carried(day: &Day) -> Plot {
    let sum = |of: fn(&Hour) -> u64| -> u64 { day.hours.iter().map(|(_, hour)| of(hour)).sum() };
    let comments = number(sum(|hour| hour.comments), "comment", "comments");
    let files = number(sum(|hour| hour.files), "file", "files");
    Plot {
        id: "plot-carried",
        title: "Carried each hour".to_owned(),
        summary: format!("{comments} and {files}, to both sides."),
        heads: vec!["Hour", "Comments", "Files"],
        has_key: true,
        bars: by_hour(day, |hour| [hour.comments, hour.files]),
        places: HOURS,
        limit: None,
    }
}

fn calls(deps: &Deps, side: Side, day: &Day) -> Plot {
    let upstream = tasks::system_name(deps.systems[side].as_ref());
    let of = |hour: &Hour| hour.calls.get(upstream).copied().unwrap_or_default();
    let busiest = day.hours.iter().map(|(_, hour)| of(hour).busiest).max().unwrap_or_default();
    let all: u64 = day.hours.iter().map(|(_, hour)| of(hour).all).sum();
    let limit = day.limits.get(upstream).map(|limit| u64::from(limit.get()));
    let allowed = limit.map(|limit| format!(" of {limit} allowed")).unwrap_or_default();
    let name = match side {
        Side::Google => "Google",
        Side::Company => upstream,
    };
    Plot {
        id: match side {
            Side::Google => "plot-google-calls",
            Side::Company => "plot-company-calls",
        },
        title: format!("Calls to {name}, busiest minute of each hour"),
        summary: format!("{} in all; at most {busiest}{allowed} in a minute.", number(all, "call", "calls")),
        heads: vec!["Hour", "Busiest minute"],
        has_key: false,
        bars: by_hour(day, |hour| {
            let Calls { busiest, .. } = of(hour);
            [busiest, 0]
        }),
        places: HOURS,
        limit,
    }
}

/// Returns a bar for each hour since the start; the current one is the last.
fn by_hour(day: &Day, parts: impl Fn(&Hour) -> [u64; 2]) -> Vec<Bar> {
    let bars = day.hours.iter().map(|(began, hour)| Bar {
        label: "",
        row: began.format("%H:00 UTC").to_string(),
        parts: parts(hour),
    });
    bars.collect()
}

fn number(number: u64, one: &str, many: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), one, many)
}

/// Returns a plot with its title, its sentence and its table.
fn figure(plot: &Plot) -> Markup {
    html! {
        figure class="figure" {
            figcaption {
                h3 id=(plot.id) { (plot.title) }
                p class="small" { (plot.summary) }
                @if plot.has_key {
                    p class="small soft" { span class="swatch" {} " comments " span class="swatch two" {} " files" }
                }
            }
            (drawing(plot))
            details {
                summary { "As a table" }
                table {
                    caption { (plot.title) }
                    thead { tr { @for head in &plot.heads { th scope="col" { (head) } } } }
                    tbody {
                        @for bar in &plot.bars {
                            tr {
                                th scope="row" { (bar.row) }
                                @for part in bar.parts.iter().take(plot.heads.len() - 1) { td { (part) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the least round number that is not below `most`: 1, 2 or 5 with zeros.
fn round_up(most: u64) -> u64 {
    let mut step: u64 = 1;
    loop {
        for round in [step, step.saturating_mul(2), step.saturating_mul(5)] {
            if round >= most || round == u64::MAX {
                return round;
            }
        }
        step = step.saturating_mul(10);
    }
}

fn drawing(plot: &Plot) -> Markup {
    let most =
        plot.bars.iter().map(|bar| bar.parts[0].saturating_add(bar.parts[1])).max().unwrap_or_default();
    let top = round_up(most.max(plot.limit.unwrap_or_default()).max(1));
    // A number that is not zero is seen.
    let height = |number: u64| match number {
        0 => 0,
        number => {
            let whole = u128::from(number) * u128::from(BOTTOM - TOP) / u128::from(top);
            u64::try_from(whole).unwrap_or(BOTTOM - TOP).max(2)
        }
    };
    let places = plot.places.max(plot.bars.len()).max(1);
    let before = places - plot.bars.len();
    let left = |place: usize| LEFT + 2 + (RIGHT - LEFT - 2) * place as u64 / places as u64;
    let (title, words) = (format!("{}-t", plot.id), format!("{}-d", plot.id));
    html! {
        svg class="plot" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby={ (title) " " (words) } {
            title id=(title) { (plot.title) }
            desc id=(words) { (plot.summary) }
            line class="axis" x1=(LEFT) y1=(BOTTOM) x2=(RIGHT) y2=(BOTTOM) {}
            line class="axis" x1=(LEFT) y1=(TOP) x2=(RIGHT) y2=(TOP) {}
            text class="end" x=(LEFT - 4) y=(TOP + 4) { (top) }
            text class="end" x=(LEFT - 4) y=(BOTTOM + 4) { "0" }
            @for (at, bar) in plot.bars.iter().enumerate() {
                @let x = left(before + at);
                @let width = (left(before + at + 1) - x).saturating_sub(2).max(1);
                @let heights = bar.parts.map(height);
                @if heights[0] > 0 {
                    rect class="bar" x=(x) y=(BOTTOM - heights[0]) width=(width) height=(heights[0]) {}
                }
                @if heights[1] > 0 {
                    @let y = BOTTOM.saturating_sub(heights[0] + heights[1]).max(TOP - 2);
                    rect class="bar two" x=(x) y=(y) width=(width) height=(heights[1]) {}
                }
                @if !bar.label.is_empty() {
                    text class="middle" x=(x + width / 2) y=(BOTTOM + 18) { (bar.label) }
                }
            }
            @if plot.places == HOURS {
                text x=(LEFT) y=(BOTTOM + 18) { "23 h ago" }
                text class="end" x=(RIGHT) y=(BOTTOM + 18) { "now" }
            }
            @if let Some(limit) = plot.limit {
                @let y = BOTTOM - height(limit);
                line class="limit" x1=(LEFT) y1=(y) x2=(RIGHT) y2=(y) {}
                text class="limit end" x=(RIGHT) y=(y + 14) { "limit " (limit) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (most, top) in
            [(0, 1), (1, 1), (3, 5), (5, 5), (6, 10), (21, 50), (300, 500), (u64::MAX, u64::MAX)]
        {
            assert_eq!(round_up(most), top, "{most}");
        }
    }

    #[test]
    fn whatever_is_counted_stays_within_the_drawing() {
        let day = Day { since: None, hours: Vec::new(), limits: std::collections::BTreeMap::new() };
        let number = |text: &str, name: &str| -> Option<u64> {
            text.split_once(&format!("{name}=\""))?.1.split('"').next()?.parse().ok()
        };
        for parts in [[0, 0], [1, 0], [0, 1], [1, 1], [7, 900], [u64::MAX, u64::MAX], [u64::MAX, 1]] {
            for bars in [1, HOURS] {
                let bar = Bar { label: "now", row: "10:00".to_owned(), parts };
                let plot = Plot { bars: vec![bar; bars], limit: Some(300), ..carried(&day) };
                let svg = drawing(&plot).into_string();
                for rect in svg.split("<rect").skip(1) {
                    let of = |name: &str| number(rect, &format!(" {name}")).unwrap();
                    assert!(of("x") >= LEFT && of("x") + of("width") <= RIGHT, "{rect}");
                    assert!(of("y") >= TOP - 2 && of("y") + of("height") <= BOTTOM + 2, "{parts:?}: {rect}");
                    assert!(of("height") > 0 && of("width") > 0, "{rect}");
                }
                assert!(!svg.contains("style="), "{svg}");
            }
        }
    }
}
