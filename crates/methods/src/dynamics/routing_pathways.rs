//! The ways of examples through a mixture of experts.

use crate::MethodError;
use crate::common::{gram, symmetric_eigen, vector};
use thalweg_data::Stream;
use thalweg_nn::Parameters;

/// The experts of each layer that an example mostly goes through, the most probable first.
pub type Pathway = Vec<Vec<usize>>;

/// The pathway of an example: of each layer the shortest list of experts, by falling probability and ties to
/// the first, whose probabilities sum to more than `threshold`; all of them where none does.
///
/// `routing[layer][expert]` are the router's probabilities, averaged over the example's positions.
///
/// # Source    Li, Fan, Zhou, Where to find grokking in LLM pretraining?, 2025, arXiv 2506.21551, section 4.1,
/// with threshold 0.7
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::pathway;
/// let found = pathway(&[vec![0.1, 0.6, 0.3], vec![0.8, 0.1, 0.1]], 0.7);
/// assert_eq!(found, [vec![1, 2], vec![0]]);
/// ```
pub fn pathway(routing: &[Vec<f64>], threshold: f64) -> Pathway {
    let of_layer = |probabilities: &Vec<f64>| {
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|&i, &j| probabilities[j].total_cmp(&probabilities[i]));
        let mut sum = 0.0;
        let enough = order.iter().position(|&expert| {
            sum += probabilities[expert];
            sum > threshold
        });
        order.truncate(enough.map_or(order.len(), |last| last + 1));
        order
    };
    routing.iter().map(of_layer).collect()
}

/// The pathway of each example, as [`pathway`]; `routings` are
/// [`RoutingObservation`](super::RoutingObservation)'s.
pub fn pathways(routings: &[Vec<Vec<f64>>], threshold: f64) -> Vec<Pathway> {
    routings.iter().map(|routing| pathway(routing, threshold)).collect()
}

/// A pathway as text: experts joined by commas, layers by hyphens.
pub fn pathway_text(pathway: &Pathway) -> String {
    let layer =
        |experts: &Vec<usize>| experts.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    pathway.iter().map(layer).collect::<Vec<_>>().join("-")
}

/// The least number of insertions, deletions and replacements that turn one sequence into another.
///
/// # Source    Levenshtein 1966
pub fn edit_distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// In what an edit is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathwaySymbols {
    /// Characters of [`pathway_text`], as the paper has it: an expert of two digits is two symbols.
    #[default]
    Characters,
    /// Experts, with one symbol between layers.
    Experts,
}

/// How different pathways are.
#[derive(Clone, Debug, PartialEq)]
pub struct PathwayDistance {
    /// The mean edit distance over pairs of examples.
    pub mean: f64,
    /// The same of each layer by itself.
    pub layers: Vec<f64>,
    /// Pairs that it is the mean over.
    pub pairs: usize,
}

/// The mean edit distance of pathways over all pairs of examples, or over `most` pairs drawn from a stream
/// where there are more.
///
/// # Errors
/// `Mismatch` for fewer than two pathways, or pathways of different numbers of layers.
/// # Source    as [`pathway`], section 4.1
pub fn pathway_distance(
    pathways: &[Pathway],
    symbols: PathwaySymbols,
    most: usize,
    stream: &Stream,
) -> Result<PathwayDistance, MethodError> {
    let n = pathways.len();
    let layers = pathways.first().map_or(0, Vec::len);
    if n < 2 || most == 0 {
        return Err(MethodError::mismatch("pathways", "at least 2, and pairs of them", n));
    }
    if let Some(other) = pathways.iter().find(|pathway| pathway.len() != layers) {
        let expected = format!("{layers} layers");
        return Err(MethodError::mismatch("a pathway", expected, other.len()));
    }
    let all = n * (n - 1) / 2;
    let pairs: Vec<(usize, usize)> = match all <= most {
        true => (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).collect(),
        false => (0..most as u64)
            .map(|draw| {
                let i = stream.below(2 * draw, n as u64) as usize;
                let j = stream.below(2 * draw + 1, n as u64 - 1) as usize;
                (i, if j < i { j } else { j + 1 })
            })
            .collect(),
    };
    let encoded: Vec<Vec<u64>> = pathways.iter().map(|p| encode(p, symbols)).collect();
    let by_layer: Vec<Vec<Vec<u64>>> = (0..layers)
        .map(|layer| pathways.iter().map(|p| encode(&p[layer..=layer].to_vec(), symbols)).collect())
        .collect();
    let mean = |of: &[Vec<u64>]| {
        let distances = pairs.iter().map(|&(i, j)| edit_distance(&of[i], &of[j]) as f64);
        distances.sum::<f64>() / pairs.len() as f64
    };
    Ok(PathwayDistance {
        mean: mean(&encoded),
        layers: by_layer.iter().map(|of| mean(of)).collect(),
        pairs: pairs.len(),
    })
}

fn encode(pathway: &Pathway, symbols: PathwaySymbols) -> Vec<u64> {
    match symbols {
        PathwaySymbols::Characters => pathway_text(pathway).bytes().map(u64::from).collect(),
        PathwaySymbols::Experts => {
            let layers = pathway.iter().enumerate().flat_map(|(i, experts)| {
                let between = (i > 0).then_some(u64::MAX);
                between.into_iter().chain(experts.iter().map(|&expert| expert as u64))
            });
            layers.collect()
        }
    }
}

/// How little the mixture of experts turns from layer to layer: `C = 1 - mean over l of cos(e_l, e_l+1) /
/// (max over l of that + 1e-8)`, with `e_l = sum over k of g_l(k) v_l,k` and an expert's vector `v_l,k` its
/// column of the router. Lower is smoother; the paper's tables probably hold `1 - C`.
///
/// `routers` are the routers' weights `[units, experts]`, layer after layer.
///
/// # Errors
/// `Mismatch` for fewer than two layers, or routers that do not fit.
/// # Source    as [`pathway`], section 4.2
pub fn pathway_consistency(
    routing: &[Vec<f64>],
    routers: &[Vec<Vec<f64>>],
) -> Result<f64, MethodError> {
    if routing.len() != routers.len() || routing.len() < 2 {
        let expected = format!("{} routers, and at least two layers", routing.len());
        return Err(MethodError::mismatch("routers", expected, routers.len()));
    }
    let mut mixed = Vec::new();
    for (probabilities, router) in routing.iter().zip(routers) {
        let of = |row: &Vec<f64>| {
            (row.len() == probabilities.len()).then(|| vector::dot(row, probabilities))
        };
        let Some(vector) = router.iter().map(of).collect::<Option<Vec<f64>>>() else {
            let expected = format!("{} experts", probabilities.len());
            let got = router.first().map_or(0, Vec::len);
            return Err(MethodError::mismatch("a router", expected, got));
        };
        mixed.push(vector);
    }
    let mut cosines = Vec::new();
    for pair in mixed.windows(2) {
        if pair[0].len() != pair[1].len() {
            let expected = format!("{} units", pair[0].len());
            return Err(MethodError::mismatch("a router", expected, pair[1].len()));
        }
        let lengths = vector::norm(&pair[0]) * vector::norm(&pair[1]);
        cosines.push(if lengths > 0.0 { vector::dot(&pair[0], &pair[1]) / lengths } else { 0.0 });
    }
    let most = cosines.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    Ok(1.0 - mean / (most + 1e-8))
}

/// Routers by name as rows of units: what [`pathway_consistency`] takes.
///
/// # Errors
/// `Mismatch` for a name that there is not, or an array that is no matrix.
pub fn router_rows(
    parameters: &Parameters,
    names: &[String],
) -> Result<Vec<Vec<Vec<f64>>>, MethodError> {
    let rows = |name: &String| {
        let array = parameters.get(name).filter(|array| array.rank() == 2);
        let Some(array) = array else {
            return Err(MethodError::mismatch("a router", "a matrix of the model", name));
        };
        let experts = array.shape()[1].max(1);
        Ok(array.to_f64_vec().chunks(experts).map(<[f64]>::to_vec).collect())
    };
    names.iter().map(rows).collect()
}

/// The effective dimension `tr(K (K + lambda I)^-1)` of the kernel of routings, `K_ij = sum over layers of
/// g_l(i) . g_l(j)`: how many ways through the experts there are, softly counted.
///
/// # Errors
/// `Config` for a `lambda` that is not positive; `Mismatch` for no routings or different shapes.
/// # Source    as [`pathway`], theorem 4.1
pub fn routing_dimension(routings: &[Vec<Vec<f64>>], lambda: f64) -> Result<f64, MethodError> {
    if !(lambda > 0.0 && lambda.is_finite()) {
        return Err(MethodError::config("lambda", "a number above 0", lambda));
    }
    let flat: Vec<Vec<f64>> = routings.iter().map(|routing| routing.concat()).collect();
    let width = flat.first().map_or(0, Vec::len);
    if width == 0 || flat.iter().any(|routing| routing.len() != width) {
        let expected = "at least one, all of one shape";
        return Err(MethodError::mismatch("routings", expected, routings.len()));
    }
    // The kernel's eigenvalues, but for zeros, which add nothing.
    let values = symmetric_eigen(&gram(&flat)).values;
    Ok(values.iter().map(|value| value.max(0.0) / (value.max(0.0) + lambda)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_array::Array;

    #[test]
    fn edits_by_hand() {
        let of = |a: &str, b: &str| edit_distance(a.as_bytes(), b.as_bytes());
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!((of("", "abc"), of("abc", ""), of("abc", "abc")), (3, 3, 0));
        assert_eq!((of("ab", "ba"), of("flaw", "lawn")), (2, 2));
    }

    #[test]
    fn pathways_by_hand() {
        let routing = [vec![0.25; 4], vec![0.1, 0.2, 0.3, 0.4]];
        let found = pathway(&routing, 0.7);
        assert_eq!(found, [vec![0, 1, 2], vec![3, 2, 1]]);
        assert_eq!(pathway_text(&found), "0,1,2-3,2,1");
        assert_eq!(
            pathways(&[routing.to_vec(), routing.to_vec()], 0.7),
            [found.clone(), found.clone()]
        );
        // Nothing sums to more than one.
        assert_eq!(pathway(&routing, 1.0)[1], [3, 2, 1, 0]);
        let stream = Stream::new(0, "pairs");
        let distance = |pathways: &[Pathway], symbols| {
            pathway_distance(pathways, symbols, 1000, &stream).unwrap()
        };
        let same = vec![found.clone(); 5];
        for symbols in [PathwaySymbols::Characters, PathwaySymbols::Experts] {
            let found = distance(&same, symbols);
            assert_eq!((found.mean, found.pairs), (0.0, 10));
        }
        let two = [vec![vec![10], vec![3]], vec![vec![2], vec![3]]];
        // As characters "10-3" and "2-3" are two apart, as experts one.
        let characters = distance(&two, PathwaySymbols::Characters);
        assert_eq!((characters.mean, characters.layers), (2.0, vec![2.0, 0.0]));
        assert_eq!(distance(&two, PathwaySymbols::Experts).mean, 1.0);
        assert!(pathway_distance(&two[..1], PathwaySymbols::Experts, 9, &stream).is_err());
        // Drawn pairs are pairs.
        let many: Vec<Pathway> = (0..50).map(|i| vec![vec![i]]).collect();
        let drawn = pathway_distance(&many, PathwaySymbols::Experts, 100, &stream).unwrap();
        assert_eq!((drawn.mean, drawn.pairs), (1.0, 100));
    }

    #[test]
    fn layers_alike_are_consistent() {
        let router = vec![vec![1.0, 0.0, 2.0], vec![0.5, -1.0, 0.0]];
        let routing = vec![vec![0.2, 0.3, 0.5]; 3];
        let same = pathway_consistency(&routing, &vec![router.clone(); 3]).unwrap();
        assert!((same - (1.0 - 1.0 / (1.0 + 1e-8))).abs() < 1e-15);
        let turned = vec![vec![-0.5, 1.0, 0.0], vec![1.0, 0.0, 2.0]];
        let mixed = [router.clone(), router.clone(), turned];
        assert!(pathway_consistency(&routing, &mixed).unwrap() > same);
        assert!(pathway_consistency(&routing[..1], &mixed[..1]).is_err());
        let array = Array::from_slice(&[2, 3], &router.concat()).unwrap();
        let parameters = Parameters::new(vec![("r".into(), array)]).unwrap();
        assert_eq!(router_rows(&parameters, &["r".into()]).unwrap(), [router]);
        assert!(router_rows(&parameters, &["s".into()]).is_err());
    }

    #[test]
    fn the_dimension_counts_ways() {
        let way =
            |k: usize| vec![(0..3).map(|i| f64::from(u8::from(i == k))).collect::<Vec<f64>>()];
        let few: Vec<_> = (0..30).map(|i| way(i % 2)).collect();
        // Eigenvalues 15 and 15.
        let found = routing_dimension(&few, 1e-3).unwrap();
        assert!((found - 2.0 * 15.0 / 15.001).abs() < 1e-9, "{found}");
        // Fewer examples than experts, each going through two: eigenvalues 4 and 2.
        let long = |k: usize| vec![(0..5).map(|i| f64::from(u8::from(i == k))).collect(); 2];
        let found = routing_dimension(&[long(4), long(1), long(4)], 0.5).unwrap();
        assert!((found - (4.0 / 4.5 + 2.0 / 2.5)).abs() < 1e-12, "{found}");
        assert!(routing_dimension(&few, 0.0).is_err() && routing_dimension(&[], 1.0).is_err());
    }
}
