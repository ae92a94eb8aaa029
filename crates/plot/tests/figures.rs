//! Figures of ordinary and of degenerate records.

use thalweg_plot::*;
use thalweg_record::*;

fn plane(n: usize, loss: impl Fn(f64, f64) -> f64) -> Surface {
    let axis: Vec<f64> = (0..n).map(|i| 2.0 * i as f64 / (n - 1) as f64 - 1.0).collect();
    let attributes = SurfaceAttributes {
        loss_name: "cross-entropy (nats)".into(),
        directions: "random".into(),
        normalize: "filter".into(),
        ..SurfaceAttributes::default()
    };
    let mut surface = Surface::new(axis.clone(), axis, None, attributes).unwrap();
    for index in 0..surface.points() {
        let point = surface.point(index);
        surface.loss[index] = loss(point.x, point.y);
        let finite = surface.loss[index].is_finite();
        surface.status[index] = if finite { COMPUTED } else { NOT_FINITE };
    }
    surface
}

fn bowl(x: f64, y: f64) -> f64 {
    1e-3 + x * x + 2.0 * y * y
}

/// The texts of a figure, with lines joined.
fn words(figure: &Figure) -> String {
    let parts = figure.svg().split('<').filter_map(|part| part.split_once('>'));
    parts.map(|(_, text)| text).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What holds for every figure: it is SVG that renders, and no number in it is not one.
fn check(figure: &Figure) {
    let svg = figure.svg();
    for word in ["NaN", "inf", "Infinity"] {
        let numbers = svg.split('"').skip(1).step_by(2).filter(|text| text.contains(word));
        assert_eq!(numbers.count(), 0, "{word} in an attribute");
    }
    let png = figure.png(1.0).unwrap();
    assert_eq!(&png[1..4], b"PNG");
    let ids: Vec<_> =
        svg.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(ids.len(), unique.len(), "{ids:?}");
}

#[test]
fn a_landscape_says_its_scale_units_and_lowest_point() {
    let surface = plane(9, bowl);
    let figure =
        landscape_figure("Two networks", &[("a", &surface), ("b", &surface)], &Style::paper());
    let figure = figure.unwrap();
    check(&figure);
    for words in [
        "cross-entropy (nats), log scale",
        "lowest, at the centre: 0.001",
        "x: random direction (in norms of each filter)",
        "one scale for all",
        "10⁻²",
    ] {
        assert!(figure.svg().contains(words), "{words}");
    }
}

#[test]
fn two_surfaces_share_one_scale() {
    let (low, high) = (plane(5, bowl), plane(5, |x, y| 1e4 * bowl(x, y)));
    let alone = map_figure("t", &[("low", &low)], &Style::paper()).unwrap();
    let both = map_figure("t", &[("low", &low), ("high", &high)], &Style::paper()).unwrap();
    // The last of the 64 bands; the bar's own last colour is #fde725.
    let brightest = "fill=\"#f9e723\"";
    assert!(alone.svg().contains(brightest));
    // In company only the higher surface reaches it, in its corners.
    assert_eq!(both.svg().matches(brightest).count(), 1);
    assert!(both.svg().contains("10⁴"));
}

#[test]
fn points_without_a_number_are_hatched_and_counted() {
    let mut surface = plane(7, |x, y| if x > 0.5 { f64::INFINITY } else { bowl(x, y) });
    let figure = map_figure("t", &[("a", &surface)], &Style::paper()).unwrap();
    check(&figure);
    assert!(
        figure.svg().contains("p-hatch") && words(&figure).contains("hatched: around 14 points")
    );
    surface.status[0] = NOT_COMPUTED;
    surface.loss[0] = f64::NAN;
    let figure = map_figure("t", &[("a", &surface)], &Style::paper()).unwrap();
    assert!(words(&figure).contains("blank: around 1 point "), "{}", words(&figure));
    check(&relief_figure("t", &[("a", &surface)], &Style::paper()).unwrap());
}

#[test]
fn degenerate_surfaces_are_drawn_or_left_out() {
    let drawn: [fn(f64, f64) -> f64; 5] = [
        |_, _| 1.0,
        |_, _| 0.0,
        |x, _| x,
        |x, y| if x == 0.0 && y == 0.0 { 1e300 } else { 1e-300 },
        |x, _| if x < 0.0 { f64::NAN } else { 2.0 },
    ];
    for loss in drawn {
        check(&landscape_figure("t", &[("", &plane(5, loss))], &Style::paper()).unwrap());
    }
    let nothing = plane(5, |_, _| f64::NAN);
    assert!(landscape_figure("t", &[("", &nothing)], &Style::paper()).is_none());
    assert!(map_figure("t", &[], &Style::paper()).is_none());
    let mut broken = plane(5, bowl);
    broken.loss.pop();
    assert!(map_figure("t", &[("", &broken)], &Style::paper()).is_none());
    let pairless = Surface { pairs: Some(0), loss: vec![], status: vec![], ..plane(5, bowl) };
    assert!(map_figure("t", &[("", &pairless)], &Style::paper()).is_none());
}

#[test]
fn a_fine_grid_stays_a_file_of_reasonable_size_and_says_so() {
    let surface = plane(201, bowl);
    let figure = landscape_figure("t", &[("", &surface)], &Style::paper()).unwrap();
    assert!(words(&figure).contains("one point in 3 each way"));
    assert!(figure.svg().len() < 2_000_000, "{}", figure.svg().len());
}

#[test]
fn charts_take_what_records_may_hold() {
    let line = |loss: Vec<f64>| Line {
        parabola: None,
        name: "x".into(),
        at: (0..loss.len()).map(|i| i as f64).collect(),
        loss,
        loss_standard_error: None,
    };
    let draw = |line: Line| {
        let mut report = Report::new("t", "loss", Provenance::default());
        let name = "a".to_owned();
        report.models = vec![ModelReport { name, lines: vec![line], ..ModelReport::default() }];
        line_figure(&report, &Style::paper())
    };
    for loss in [vec![1.0, f64::NAN, 3.0], vec![0.0, -1.0], vec![5.0], vec![2.0, 2.0]] {
        check(&draw(line(loss)).unwrap());
    }
    assert!(draw(line(vec![])).is_none());
    assert!(draw(line(vec![f64::NAN])).is_none());

    let eigenvalue = |value| Eigenvalue { value, residual: 0.0, sampling_error: None };
    for values in [vec![3.0, 1.0], vec![3.0, -1.0], vec![0.0], vec![f64::NAN, 1.0]] {
        let top = values.into_iter().map(eigenvalue).collect();
        let spectrum = Spectrum { operator: "hessian".into(), top, ..Spectrum::default() };
        check(&spectrum_figure(&[("a", &spectrum)], &Style::paper()).unwrap());
    }
    assert!(spectrum_figure(&[("a", &Spectrum::default())], &Style::paper()).is_none());
    assert!(density_figure(&[("a", &Spectrum::default())], &Style::paper()).is_none());
}

#[test]
fn many_members_are_not_listed_one_by_one() {
    let curve = |seed: u64| TrainingCurve {
        member: format!("seed {seed}"),
        step: vec![1, 2, 3],
        columns: [("train_loss".to_owned(), CurveColumn(vec![3.0, 2.0, 1.0 / seed as f64]))].into(),
    };
    let curves: Vec<_> = (1..20).map(curve).collect();
    let few: Vec<_> = curves[..3].iter().map(|c| ("", c)).collect();
    let all: Vec<_> = curves.iter().map(|c| ("", c)).collect();
    let draw = |curves: &[(&str, &TrainingCurve)]| {
        training_figure("Loss", curves, &["train_loss"], true, &Style::paper()).unwrap()
    };
    assert!(draw(&few).svg().contains("seed 2"));
    let many = draw(&all);
    assert!(!many.svg().contains("seed 2") && many.svg().contains("19 members"));
    assert!(training_figure("Loss", &all, &["missing"], true, &Style::paper()).is_none());
}

#[test]
fn a_figure_is_the_same_every_time() {
    let surface = plane(9, bowl);
    let draw = || landscape_figure("t", &[("a", &surface)], &Style::paper()).unwrap();
    assert_eq!(draw(), draw());
}

/// A report of one model, under a name that breaks markup.
fn report_of(surface: Surface) -> Report {
    let mut report = Report::new("A <b> & \"c\"", "loss <&\">", Provenance::default());
    report.models = vec![ModelReport {
        name: "<i>'\"& a name that is far too long for the heading of any panel or legend".into(),
        lines: surface.lines(),
        surface: Some(surface),
        ..ModelReport::default()
    }];
    report
}

/// Text content of a page's figures never holds raw markup of a name.
fn check_page(report: &Report) -> String {
    let page = report_html(report, "a = \"<\"");
    let figures = &page[..page.find("<script").unwrap()];
    for broken in ["<i>", "<b>", "<&"] {
        assert!(!figures.contains(broken), "{broken}");
    }
    for number in ["=\"NaN", "=\"inf", "=\"-inf"] {
        assert!(!page.contains(number), "{number}");
    }
    page
}

#[test]
fn every_degenerate_surface_gives_a_page() {
    let nan = |_: f64, _: f64| f64::NAN;
    check_page(&report_of(plane(5, bowl)));
    check_page(&report_of(plane(2, nan)));
    let row = Surface {
        y: vec![0.0],
        loss: vec![1.0, f64::INFINITY, f64::NAN, 2.0, -1.0],
        status: vec![COMPUTED, NOT_FINITE, NOT_FINITE, COMPUTED, COMPUTED],
        ..plane(5, bowl)
    };
    let page = check_page(&report_of(row.clone()));
    assert!(!page.contains("The landscape") && page.contains("×: not finite"));
    let column = Surface { x: vec![0.0], y: row.x.clone(), ..row.clone() };
    assert!(check_page(&report_of(column)).contains("Along each direction"));
    let point =
        Surface { x: vec![0.0], y: vec![0.0], loss: vec![1.0], status: vec![COMPUTED], ..row };
    assert!(!check_page(&report_of(point)).contains("Along each direction"));
    let mut broken = plane(5, bowl);
    broken.status.pop();
    check_page(&report_of(broken));
}

#[test]
fn every_pair_of_directions_has_a_panel_and_lines() {
    let one = plane(5, bowl);
    let three = Surface {
        pairs: Some(3),
        loss: [1.0, 10.0, f64::NAN]
            .iter()
            .flat_map(|f| one.loss.iter().map(move |l| l * f))
            .collect(),
        status: vec![COMPUTED; 75],
        ..one
    };
    let figure = map_figure("t", &[("", &three)], &Style::paper()).unwrap();
    check(&figure);
    let text = words(&figure);
    for pair in ["pair 1", "pair 2", "pair 3"] {
        assert!(text.contains(pair), "{text}");
    }
    assert!(text.contains("centre: 0.001") && text.contains("centre: 0.01"), "{text}");
    let lines = line_figure(&report_of(three), &Style::paper()).unwrap();
    check(&lines);
    assert!(words(&lines).contains("solid: along x, dashed: along y"));
}

#[test]
fn a_cell_with_a_corner_that_is_not_finite_is_hatched_whole() {
    let hole = plane(5, |x, y| if x == 0.0 && y == 0.0 { f64::NAN } else { bowl(x, y) });
    let figure = map_figure("t", &[("", &hole)], &Style::paper()).unwrap();
    let hatched = figure.svg().split("<path ").find(|part| part.contains("url(#p-hatch)")).unwrap();
    assert_eq!(hatched.matches('M').count(), 4);
}

#[test]
fn negative_eigenvalues_are_hollow_and_said_so() {
    let found =
        |value: f64| Eigenvalue { value, residual: 0.5 * value.abs(), sampling_error: None };
    let spectrum = Spectrum {
        top: vec![found(100.0), found(1.0)],
        bottom: vec![found(-2.0)],
        ..Spectrum::default()
    };
    let figure = spectrum_figure(&[("a", &spectrum)], &Style::paper()).unwrap();
    check(&figure);
    assert_eq!(figure.svg().matches("fill=\"#ffffff\" stroke").count(), 1);
    let text = words(&figure);
    for part in
        ["hollow: negative", "bar: residual", "|eigenvalue|, log scale", "Largest and smallest"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let positive = Spectrum { bottom: Vec::new(), ..spectrum };
    let text = words(&spectrum_figure(&[("a", &positive)], &Style::paper()).unwrap());
    assert!(!text.contains("hollow") && text.contains("eigenvalue, log scale"));
}

#[test]
fn a_member_that_diverged_does_not_vanish() {
    let curve = |name: &str, values: &[f64]| TrainingCurve {
        member: name.into(),
        step: (1..=values.len() as u64).collect(),
        columns: [("train_loss".to_owned(), CurveColumn(values.to_vec()))].into(),
    };
    let fine = curve("fine", &[3.0, 2.0, 1.0]);
    let late = curve("late", &[3.0, 9.0, f64::NAN]);
    let never = TrainingCurve { columns: Default::default(), ..curve("never", &[f64::NAN; 3]) };
    let draw = |curves: &[&TrainingCurve]| {
        let named: Vec<_> = curves.iter().map(|c| ("", *c)).collect();
        words(&training_figure("Loss", &named, &["train_loss"], true, &Style::paper()).unwrap())
    };
    assert!(!draw(&[&fine]).contains("not finite"));
    assert!(draw(&[&fine, &late]).contains("×: not finite from there on"));
    let text = draw(&[&fine, &never]);
    assert!(text.contains("no finite value: never"), "{text}");
    assert_eq!(text.matches("never").count(), 1, "{text}");
}

#[test]
fn networks_in_a_plane_are_marked() {
    let mut surface = plane(5, bowl);
    surface.attributes.directions = "checkpoints".into();
    let text = words(&map_figure("t", &[("", &surface)], &Style::paper()).unwrap());
    assert!(text.contains("x: from network 1 to network 2"), "{text}");
    assert!(!text.contains("centre 0"), "{text}");
}

/// Two basins and a hill, as a surface to which a method has added its topology.
fn with_topology() -> Surface {
    let mut surface = plane(9, |x, y| 0.1 + (x * x - 0.25).powi(2) + y * y);
    let minimum = |x: f64, loss: f64, saddle: f64, parent| SurfaceMinimum {
        x,
        loss,
        saddle,
        parent,
        ..SurfaceMinimum::default()
    };
    let point = |loss: f64| GridPoint { x: 0.0, y: 0.0, loss };
    let around = |saddle: f64, peak: Option<f64>| SurfaceLoop {
        pair: 0,
        saddle: point(saddle),
        peak: peak.map(point),
        standard_error: None,
    };
    surface.topology = Some(Topology {
        minima: vec![
            minimum(-0.5, 0.1, 1.6625, None),
            minimum(0.5, 0.11, 0.1625, Some(0)),
            minimum(1.0, 0.5, 0.501, Some(1)),
        ],
        loops: vec![around(0.2, Some(0.9)), around(0.3, None)],
        threshold: 0.01,
        total_variation: vec![1.0],
    });
    surface
}

#[test]
fn a_persistence_diagram_shows_every_class_and_what_never_ends() {
    let surface = with_topology();
    let figure = persistence_figure(&[("", &surface)], &Style::paper()).unwrap();
    check(&figure);
    let text = words(&figure);
    for part in ["born at: cross-entropy (nats), log scale", "ends at:", "∞", "Small: 1 below 1 %"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let signs = |colour: &str| figure.svg().matches(colour).count();
    // One of each in the key.
    assert_eq!([signs("#ff8a3d"), signs("#ffd9bf"), signs("#8fd0c0")], [2, 2, 3]);
    let page = persistence_figure(&[("", &surface)], &Style::page("d")).unwrap();
    assert!(page.svg().contains("loop ends at"));
    let mut plain = surface;
    plain.topology.as_mut().unwrap().loops.clear();
    let text = words(&persistence_figure(&[("", &plain)], &Style::paper()).unwrap());
    assert!(!text.contains("loop"), "{text}");
    plain.topology.as_mut().unwrap().minima.truncate(1);
    let text = words(&persistence_figure(&[("", &plain)], &Style::paper()).unwrap());
    assert!(text.contains("nothing but the lowest minimum") && !text.contains("deeper one"));
    plain.topology = None;
    assert!(persistence_figure(&[("", &plain)], &Style::paper()).is_none());
    assert!(merge_tree_figure(&[("", &plain)], &Style::paper()).is_none());
}

#[test]
fn a_merge_tree_has_a_branch_for_each_minimum() {
    let surface = with_topology();
    let figure = merge_tree_figure(&[("a", &surface), ("b", &surface)], &Style::paper()).unwrap();
    check(&figure);
    let text = words(&figure);
    for part in ["Thin: below 1 %", "0.11", "0.1", "lowest minimum", "a ", "b "] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Two thick branches in each panel, one thin.
    let branches = |width: &str| figure.svg().matches(&format!("stroke-width=\"{width}\"")).count();
    assert_eq!([branches("1.9"), branches("0.8")], [4, 2]);
    let page = check_page(&report_of(surface));
    for title in ["Persistence diagram", "Merge tree"] {
        assert!(page.contains(title), "{title}");
    }
}

#[test]
fn losses_at_or_below_zero_have_a_place_in_the_topology() {
    let mut surface = with_topology();
    surface.topology.as_mut().unwrap().minima[0].loss = -1.0;
    check(&persistence_figure(&[("", &surface)], &Style::paper()).unwrap());
    check(&merge_tree_figure(&[("", &surface)], &Style::paper()).unwrap());
    let mut line = Surface { y: vec![0.0], ..plane(9, bowl) };
    line.loss.truncate(9);
    line.status.truncate(9);
    line.topology = surface.topology;
    let page = check_page(&report_of(line));
    assert!(!page.contains("The landscape") && page.contains("Merge tree"));
}

#[test]
fn what_a_plane_holds_stands_on_its_pictures() {
    let share = |of: &str, pair, value| {
        let share = Estimate { value, standard_error: 0.02, samples: 14 }.into();
        PlaneShare { of: of.into(), pair, share }
    };
    let mut surface = plane(5, bowl);
    surface.attributes.plane_shares =
        vec![share("trajectory", None, 0.9), share("curvature", None, 0.4)];
    let draw = |surfaces: &[(&str, &Surface)]| {
        let figure = landscape_figure("t", surfaces, &Style::paper()).unwrap();
        check(&figure);
        words(&figure)
    };
    let text = draw(&[("", &surface)]);
    for part in ["holds 90.0 ± 2.0 % of the trajectory", "and 40.0 ± 2.0 % of the Hessian"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Several planes each say their own.
    let mut pairs = plane(5, bowl);
    pairs.pairs = Some(2);
    (pairs.loss, pairs.status) = (pairs.loss.repeat(2), pairs.status.repeat(2));
    pairs.attributes.plane_shares =
        vec![share("curvature", Some(0), 0.3), share("curvature", Some(1), 0.2)];
    let text = draw(&[("", &pairs)]);
    for part in ["holds 30.0 ± 2.0 % of the curvature", "holds 20.0 ± 2.0 % of", "under each name"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!draw(&[("", &plane(5, bowl))]).contains("holds"));
    // Of a line the lines say it.
    let line = Surface { y: vec![0.0], ..surface };
    let line = Surface { loss: line.loss[..5].to_vec(), status: vec![COMPUTED; 5], ..line };
    let text = words(&line_figure(&report_of(line), &Style::paper()).unwrap());
    assert!(text.contains("the line holds 90.0"), "{text}");
}
