//! `report.html`: everything about a run in one file that needs no network.

use crate::canvas::Figure;
use crate::markup::escape;
use crate::theme::Style;
use crate::{
    basin_figure, class_figure, comparison_figure, convexity_figure, density_figure,
    gradient_figures, line_figure, map_figure, merge_tree_figure, persistence_figure,
    relief_figure, report_comparison, report_table, residual_figure, spectrum_figure,
    training_figures,
};
use thalweg_record::{Report, Surface};

const PAGE_STYLE: &str = include_str!("report.css");
const VIEWER: &str = include_str!("../../../viewer/dist/viewer.js");

/// A whole page: table, surfaces, contours, lines, training, spectrum, how each number was obtained,
/// how to get the same again. A part appears when the report has data for it. `study` is the text
/// of the run's `study.toml`, or empty.
///
/// Every figure stands in the page as SVG and can be read without scripts; the viewer turns the
/// surfaces and answers the pointer. The page's own policy forbids any request.
pub fn report_html(report: &Report, study: &str) -> String {
    let mut body = String::new();
    if report.models.iter().any(|model| !model.name.is_empty()) {
        section(
            &mut body,
            "Results",
            &format!("<div class=\"card\">{}</div>", report_table::results(report)),
        );
    }
    if let Some(tables) = report_comparison::comparison(report) {
        let figure = comparison_figure(report, &Style::page("comparison"));
        let figure = figure.as_ref().map(card).unwrap_or_default();
        section(&mut body, "Comparison", &(figure + &tables));
    }
    surfaces(&mut body, report);
    lines(&mut body, report);
    training(&mut body, report);
    spectra(&mut body, report);
    if !report.explanations.is_empty() {
        let items: Vec<_> =
            report.explanations.iter().map(|e| (e.quantity.as_str(), e.how.clone())).collect();
        let list = definitions(&items, "");
        section(
            &mut body,
            "How each number was obtained",
            &format!("<div class=\"card\">{list}</div>"),
        );
    }
    section(&mut body, "Reproduce", &reproduce(report, study));
    let title = escape(&report.title);
    let summary = escape(&report.summary);
    // `<` cannot occur in JSON but inside strings, where its escape means the same: so nothing in
    // the data can end the script element or open a comment.
    let data = report.to_json().replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:\">\n\
         <title>{title}</title>\n<style>\n{PAGE_STYLE}</style>\n</head>\n<body>\n\
         <header><div><h1>{title}</h1><p class=\"summary\">{summary}</p></div>\
         <div id=\"tools\"></div></header>\n<main>\n{body}</main>\n\
         <footer>Written by Thalweg {version}.</footer>\n\
         <script type=\"application/json\" id=\"thalweg-data\">{data}</script>\n\
         <script>\n{VIEWER}</script>\n</body>\n</html>\n",
        version = escape(&report.provenance.version),
    )
}

fn section(body: &mut String, heading: &str, content: &str) {
    body.push_str(&format!("<section><h2>{heading}</h2>\n{content}</section>\n"));
}

fn card(figure: &Figure) -> String {
    format!("<div class=\"card\">{}</div>\n", figure.svg())
}

/// Figures two by two; nothing without any.
fn pairs(figures: Vec<Option<Figure>>) -> Option<String> {
    let cards: Vec<_> = figures.iter().flatten().map(card).collect();
    match cards.len() {
        0 => None,
        _ => Some(format!("<div class=\"pair\">{}</div>\n", cards.concat())),
    }
}

fn surfaces(body: &mut String, report: &Report) {
    // The viewer finds values by the place in this list.
    let all: Vec<(&str, &Surface)> = report
        .models
        .iter()
        .filter_map(|m| m.surface.as_ref().map(|surface| (m.name.as_str(), surface)))
        .collect();
    let Some(relief) = relief_figure("Relief", &all, &Style::page("relief")) else { return };
    let mut cards = format!(
        "<div class=\"card wide\" id=\"surfaces\"><div class=\"static\">{}</div></div>\n",
        relief.svg()
    );
    if let Some(map) = map_figure("From above", &all, &Style::page("map")) {
        cards.push_str(&format!("<div class=\"card wide\">{}</div>\n", map.svg()));
    }
    cards.push_str(&topology(&all));
    let further = [
        class_figure(&all, &Style::page("classes")),
        convexity_figure(&all, &Style::page("convexity")),
        residual_figure(&all, &Style::page("residuals")),
    ];
    cards.extend(further.iter().flatten().map(card));
    section(body, "The landscape", &cards);
}

/// Persistence diagrams and merge trees: side by side those of one plane, one below the other those of
/// several, which stand in rows themselves.
fn topology(surfaces: &[(&str, &Surface)]) -> String {
    let figures = vec![
        persistence_figure(surfaces, &Style::page("persistence")),
        merge_tree_figure(surfaces, &Style::page("merge-tree")),
    ];
    match surfaces {
        [(_, one)] if one.pairs.is_none_or(|pairs| pairs < 2) => {
            pairs(figures).map(|cards| format!("{cards}<p></p>")).unwrap_or_default()
        }
        _ => figures.iter().flatten().map(card).collect(),
    }
}

fn lines(body: &mut String, report: &Report) {
    let all: Vec<(&str, &Surface)> =
        report.models.iter().filter_map(|m| Some((m.name.as_str(), m.surface.as_ref()?))).collect();
    // Of a line there is no landscape that it could stand with.
    let is_line = all.iter().all(|(_, surface)| surface.x.len() < 2 || surface.y.len() < 2);
    let eigenvalues = is_line.then(|| convexity_figure(&all, &Style::page("convexity"))).flatten();
    let topology = if is_line { topology(&all) } else { String::new() };
    let gradients = gradient_figures(&all, &Style::page("gradient"));
    let [gradient, cosines] = gradients.map_or([None, None], |both| both.map(Some));
    let figures = vec![
        line_figure(report, &Style::page("lines")),
        gradient,
        cosines,
        eigenvalues,
        basin_figure(&all, &Style::page("basin")),
    ];
    if let Some(mut cards) = pairs(figures) {
        if !topology.is_empty() {
            cards.push_str(&format!("<p></p>{topology}"));
        }
        section(body, "Along each direction", &cards);
    }
}

fn training(body: &mut String, report: &Report) {
    let figures = training_figures(report, |name| {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        Style::page(format!("training-{}", name.chars().map(plain).collect::<String>()))
    });
    if let Some(cards) = pairs(figures.into_iter().map(|(_, figure)| Some(figure)).collect()) {
        section(body, "Training", &cards);
    }
}

fn spectra(body: &mut String, report: &Report) {
    let spectra: Vec<_> = report
        .models
        .iter()
        .filter_map(|m| m.spectrum.as_ref().map(|spectrum| (m.name.as_str(), spectrum)))
        .collect();
    let figures = vec![
        spectrum_figure(&spectra, &Style::page("spectrum")),
        density_figure(&spectra, &Style::page("density")),
    ];
    if let Some(mut cards) = pairs(figures) {
        if let Some(table) = report_table::eigenvalues(report) {
            cards.push_str(&format!("<p></p><div class=\"card\">{table}</div>"));
        }
        section(body, "Curvature", &cards);
    }
}

fn definitions(items: &[(&str, String)], class: &str) -> String {
    let rows: String = items
        .iter()
        .map(|(name, text)| format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(text)))
        .collect();
    format!("<dl class=\"{class}\">{rows}</dl>")
}

/// The command, what it ran on, and every setting with defaults filled in.
fn reproduce(report: &Report, study: &str) -> String {
    let p = &report.provenance;
    let mut items = vec![
        ("Version", format!("Thalweg {}", p.version)),
        ("Seed", p.seed.to_string()),
        ("Precision", p.precision.clone()),
        ("Device", p.device.clone()),
        ("Data", p.data.clone()),
        ("Data fingerprint", p.data_fingerprint.clone()),
    ];
    items.retain(|(_, text)| !text.is_empty());
    let mut card = String::from("<div class=\"card\">");
    if let Some(command) = &p.command {
        card.push_str(&format!("<pre class=\"command\">{}</pre>", escape(command)));
    }
    card.push_str(&definitions(&items, "provenance"));
    if !study.is_empty() {
        card.push_str(&format!(
            "<details><summary>All settings, with defaults filled in: study.toml</summary>\
             <pre>{}</pre></details>",
            escape(study)
        ));
    }
    card + "</div>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_record::{COMPUTED, Explanation, ModelReport, Provenance, SurfaceAttributes};

    fn surface() -> Surface {
        let axis = vec![-1.0, 0.0, 1.0];
        let attributes = SurfaceAttributes::default();
        let mut surface = Surface::new(axis.clone(), axis, None, attributes).unwrap();
        surface.loss = vec![2.0, 1.0, f64::NAN, 1.0, 0.1, 1.0, 2.0, 1.0, f64::INFINITY];
        surface.status = vec![COMPUTED; 9];
        surface
    }

    fn report() -> Report {
        let provenance = Provenance { version: "0.1.0".into(), ..Provenance::default() };
        let mut report = Report::new("A </script> title", "loss", provenance);
        let surface = surface();
        report.models = vec![ModelReport {
            name: "</script><script>alert(1)</script><!--".into(),
            lines: surface.lines(),
            surface: Some(surface),
            ..ModelReport::default()
        }];
        report
    }

    #[test]
    fn the_page_is_whole_and_names_cannot_break_it() {
        let page = report_html(&report(), "");
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(!page.contains("<script>alert") && !page.contains("<!--"));
        for part in ["The landscape", "From above", "Along each direction", "Reproduce"] {
            assert!(page.contains(part), "{part} is missing");
        }
        assert!(!page.contains("<h2>Training") && !page.contains("<h2>Curvature"));
    }

    #[test]
    fn the_data_reads_back() {
        let page = report_html(&report(), "");
        let start = page.find("id=\"thalweg-data\">").unwrap() + "id=\"thalweg-data\">".len();
        let data = &page[start..start + page[start..].find("</script>").unwrap()];
        let back = Report::from_json("page", data).unwrap();
        assert_eq!(back.models[0].name, report().models[0].name);
    }

    #[test]
    fn nothing_is_fetched() {
        let page = report_html(&report(), "");
        let data = page.find("<script>").unwrap();
        for reference in ["src=", "href=", "@import", "url(http"] {
            assert!(!page[..data].contains(reference), "{reference}");
        }
        assert!(page.contains("default-src 'none'"));
        assert!(!VIEWER.contains("</script"));
    }

    #[test]
    fn a_report_without_models_still_says_where_it_came_from() {
        let mut report = Report::new("Empty", "loss", Provenance::default());
        let how = Explanation { quantity: "Loss".into(), how: "not at all".into() };
        report.explanations.push(how);
        let page = report_html(&report, "");
        assert!(page.contains("How each number was obtained") && !page.contains("<h2>Results"));
    }

    #[test]
    fn the_command_and_the_settings_are_kept_word_for_word() {
        let mut report = report();
        report.provenance.command = Some("thalweg map --arch \"a<b\"".into());
        let page = report_html(&report, "name = \"<x>\" # </pre>\n");
        assert!(page.contains("thalweg map --arch &quot;a&lt;b&quot;"));
        assert!(page.contains("name = &quot;&lt;x&gt;&quot; # &lt;/pre&gt;"));
        assert!(!report_html(&report, "").contains("study.toml"));
    }
}
