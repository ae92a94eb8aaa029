//! Matrix products.

use crate::onnx::call::{Call, Outcome, one};
use crate::onnx::value::Laid;
use std::collections::BTreeMap;
use thalweg_graph::{DotAxes, Tensor};

/// `alpha A B + beta C`, `A` and `B` possibly transposed.
pub fn gemm<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let (a, b) = (call.tensor(0)?, call.tensor(1)?);
    if a.rank() != 2 || b.rank() != 2 {
        return Err(format!("matrices are needed, got shapes {:?} and {:?}", a.shape(), b.shape()));
    }
    let axis = |transposed: bool, plain: usize| if transposed { 1 - plain } else { plain };
    let (left, right) = (axis(call.flag("transA")?, 1), axis(call.flag("transB")?, 0));
    if a.shape()[left] != b.shape()[right] {
        return Err(format!(
            "rows of {} by columns of {}: shapes {:?} and {:?} do not go together",
            a.shape()[left],
            b.shape()[right],
            a.shape(),
            b.shape()
        ));
    }
    let axes =
        DotAxes { lhs_contract: vec![left], rhs_contract: vec![right], ..DotAxes::default() };
    let (alpha, beta) = (call.float_or("alpha", 1.0)?, call.float_or("beta", 1.0)?);
    let mut y = a.dot(b, axes);
    if alpha != 1.0 {
        y = y * alpha;
    }
    if let Some(c) = call.optional(2)?
        && beta != 0.0
    {
        let mut pair = [Laid::plain_of(y), Laid::plain_of(c)];
        call.tracer.batch.stretch(&mut pair)?;
        let c = pair[1].tensor;
        if crate::onnx::host::stretched(&y.shape(), &c.shape())? != y.shape() {
            return Err(format!("a summand of shape {:?} for {:?}", c.shape(), y.shape()));
        }
        y = y + if beta == 1.0 { c } else { c * beta };
    }
    one(y)
}

pub fn matmul<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let (a, b) = (call.laid(0)?, call.laid(1)?);
    one(product(call, a.plain(), b.plain())?)
}

/// The product of matrices in the last two axes, the axes before them stretched.
pub(super) fn product<'b>(
    call: &Call<'_, '_, 'b>,
    a: Tensor<'b>,
    b: Tensor<'b>,
) -> Result<Tensor<'b>, String> {
    let fault = || format!("shapes {:?} and {:?} do not go together", a.shape(), b.shape());
    if a.rank() == 0 || b.rank() == 0 {
        return Err(fault());
    }
    // Integers have no such product in the engine; those of a file are exact in its floats.
    let dtype = a.dtype();
    if !dtype.is_float() {
        return Err("products of integers are not supported".into());
    }
    let (left, right) = (a.rank() - 1, b.rank().saturating_sub(2));
    if a.shape()[left] != b.shape()[right] {
        return Err(fault());
    }
    if b.rank() <= 2 {
        let axes =
            DotAxes { lhs_contract: vec![left], rhs_contract: vec![right], ..DotAxes::default() };
        return Ok(a.dot(b, axes));
    }
    if a.rank() == 1 {
        let row = product(call, a.expand(0), b)?;
        return Ok(row.index(row.rank() - 2, 0));
    }
    let (rows, columns) = (a.shape()[a.rank() - 2], b.shape()[b.rank() - 1]);
    let (mut x, mut y) = (a, b);
    if x.rank() > 2 {
        // A batch that one operand repeats.
        let mut pair = [Laid::plain_of(x), Laid::plain_of(y)];
        call.tracer.batch.stretch_products(&mut pair)?;
        [x, y] = pair.map(|laid| laid.tensor);
    }
    let x_batch = x.shape()[..x.rank() - 2].to_vec();
    let y_batch = y.shape()[..y.rank() - 2].to_vec();
    let batch = crate::onnx::host::stretched(&x_batch, &y_batch)?;
    if x_batch.is_empty() {
        // One matrix for all: rows and batch are both free.
        let axes =
            DotAxes { lhs_contract: vec![1], rhs_contract: vec![right], ..DotAxes::default() };
        let z = x.dot(y, axes);
        return Ok(z.move_axis(0, z.rank() - 2));
    }
    let inner = x.shape()[x.rank() - 1];
    let x = x.broadcast_to(&[batch.as_slice(), &[rows, inner]].concat());
    let y = y.broadcast_to(&[batch.as_slice(), &[inner, columns]].concat());
    let n = batch.len();
    let axes = DotAxes {
        lhs_batch: (0..n).collect(),
        rhs_batch: (0..n).collect(),
        lhs_contract: vec![n + 1],
        rhs_contract: vec![n],
    };
    Ok(x.dot(y, axes))
}

pub fn fused_matmul<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let turned = |x: Tensor<'b>, transposed: bool| match (x.rank(), transposed) {
        (rank @ 2.., true) => x.move_axis(rank - 1, rank - 2),
        _ => x,
    };
    if call.flag("transBatchA")? || call.flag("transBatchB")? {
        return Err("transposed batches are not supported".into());
    }
    let a = turned(call.tensor(0)?, call.flag("transA")?);
    let b = turned(call.tensor(1)?, call.flag("transB")?);
    let alpha = call.float_or("alpha", 1.0)?;
    let y = product(call, a, b)?;
    one(if alpha == 1.0 { y } else { y * alpha })
}

/// The subscripts of each operand and of the result, an ellipsis as digits counted from its end.
struct Subscripts {
    operands: Vec<Vec<char>>,
    result: Vec<char>,
}

impl Subscripts {
    fn parse(equation: &str, ranks: &[usize]) -> Result<Subscripts, String> {
        let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let fault = || format!("attribute `equation` is `{equation}`");
        let (terms, result) = match equation.split_once("->") {
            Some((terms, result)) => (terms, Some(result)),
            None => (equation.as_str(), None),
        };
        let terms: Vec<&str> = terms.split(',').collect();
        if terms.len() != ranks.len() {
            return Err(fault());
        }
        let mut widest = 0;
        let mut operands = Vec::new();
        for (term, &rank) in terms.iter().zip(ranks) {
            let letters = term.chars().filter(|&c| c != '.').count();
            let wide = if term.contains("...") {
                rank.checked_sub(letters).ok_or_else(fault)?
            } else {
                0
            };
            widest = widest.max(wide);
            let expanded = expand(term, wide).ok_or_else(fault)?;
            if expanded.len() != rank {
                return Err(format!("{}, but an operand has {rank} axes", fault()));
            }
            operands.push(expanded);
        }
        let result = match result {
            Some(result) => expand(result, widest).ok_or_else(fault)?,
            None => {
                // Without an arrow: what comes once, in order of letters, after the ellipsis.
                let mut counts: BTreeMap<char, usize> = BTreeMap::new();
                operands.iter().flatten().for_each(|&c| *counts.entry(c).or_default() += 1);
                let mut result = expand("...", widest).ok_or_else(fault)?;
                let single = |(&c, &n): (&char, &usize)| (n == 1 && c.is_alphabetic()).then_some(c);
                result.extend(counts.iter().filter_map(single));
                result
            }
        };
        Ok(Subscripts { operands, result })
    }
}

/// The letters of a term; the axes of its ellipsis are private characters, the last one first.
fn expand(term: &str, wide: usize) -> Option<Vec<char>> {
    let private = |i: usize| char::from_u32(0xE000 + u32::try_from(i).ok()?);
    let (before, after) = match term.split_once("...") {
        Some((before, after)) => (before, Some(after)),
        None => (term, None),
    };
    let valid = |part: &str| part.chars().all(char::is_alphabetic);
    if !valid(before) || !after.is_none_or(valid) {
        return None;
    }
    let mut letters: Vec<char> = before.chars().collect();
    if let Some(after) = after {
        for i in (0..wide).rev() {
            letters.push(private(i)?);
        }
        letters.extend(after.chars());
    }
    Some(letters)
}

pub fn einsum<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let mut tensors = Vec::new();
    for i in 0..call.inputs.len() {
        tensors.push(call.tensor(i)?);
    }
    let ranks: Vec<usize> = tensors.iter().map(|x| x.rank()).collect();
    let equation = call.text("equation")?.ok_or("attribute `equation` is missing")?;
    let Subscripts { operands, result } = Subscripts::parse(equation, &ranks)?;
    let mut terms: Vec<(Tensor<'b>, Vec<char>)> = Vec::new();
    for (x, letters) in tensors.into_iter().zip(operands) {
        terms.push(diagonal(x, letters)?);
    }
    let mut extents: BTreeMap<char, usize> = BTreeMap::new();
    for (x, letters) in &terms {
        for (&letter, &extent) in letters.iter().zip(&x.shape()) {
            let known = extents.entry(letter).or_insert(extent);
            if *known == 1 {
                *known = extent;
            } else if extent != 1 && extent != *known {
                return Err(format!("`{letter}` is {known} and {extent}"));
            }
        }
    }
    let mut terms = terms.into_iter();
    let (mut x, mut letters) = terms.next().ok_or("it takes at least one input")?;
    let rest: Vec<_> = terms.collect();
    for i in 0..rest.len() {
        let (y, others) = &rest[i];
        let later = |letter: &char| {
            result.contains(letter) || rest[i + 1..].iter().any(|(_, next)| next.contains(letter))
        };
        (x, letters) = contract((x, &letters), (*y, others), &extents, later);
    }
    // What only one operand had and the result has not is summed.
    let gone: Vec<usize> = (0..letters.len()).filter(|&i| !result.contains(&letters[i])).collect();
    x = x.sum(&gone);
    letters.retain(|letter| result.contains(letter));
    let mut order = Vec::with_capacity(result.len());
    for letter in &result {
        let at = letters.iter().position(|known| known == letter);
        order.push(at.ok_or_else(|| format!("`{letter}` is in no operand"))?);
    }
    if order.len() != letters.len() {
        return Err("a letter comes twice in its result".into());
    }
    one(x.transpose(&order))
}

/// An operand in which a letter comes twice becomes its diagonal.
fn diagonal<'b>(
    mut x: Tensor<'b>,
    mut letters: Vec<char>,
) -> Result<(Tensor<'b>, Vec<char>), String> {
    loop {
        let twice = (0..letters.len()).find_map(|i| {
            (i + 1..letters.len()).find(|&j| letters[j] == letters[i]).map(|j| (i, j))
        });
        let Some((i, j)) = twice else { return Ok((x, letters)) };
        let shape = x.shape();
        if shape[i] != shape[j] {
            return Err(format!("`{}` is {} and {}", letters[i], shape[i], shape[j]));
        }
        let builder = x.builder();
        let index = |axis| builder.iota(thalweg_array::DType::I32, &shape, axis);
        let kept = index(i).equal(index(j));
        x = kept.select(x, x.zeros_like()).sum(&[j]);
        letters.remove(j);
    }
}

/// The product of two operands, summed over what nothing later needs.
fn contract<'b>(
    (x, left): (Tensor<'b>, &[char]),
    (y, right): (Tensor<'b>, &[char]),
    extents: &BTreeMap<char, usize>,
    needed: impl Fn(&char) -> bool,
) -> (Tensor<'b>, Vec<char>) {
    let stretch = |x: Tensor<'b>, letters: &[char], others: &[char]| {
        // An axis of one meets a longer one of the same letter.
        let shape: Vec<usize> = letters
            .iter()
            .zip(x.shape())
            .map(|(letter, own)| if others.contains(letter) { extents[letter] } else { own })
            .collect();
        x.broadcast_to(&shape)
    };
    let (x, y) = (stretch(x, left, right), stretch(y, right, left));
    let mut axes = DotAxes::default();
    let mut batch = Vec::new();
    for (i, letter) in left.iter().enumerate() {
        let Some(j) = right.iter().position(|other| other == letter) else { continue };
        if needed(letter) {
            axes.lhs_batch.push(i);
            axes.rhs_batch.push(j);
            batch.push(*letter);
        } else {
            axes.lhs_contract.push(i);
            axes.rhs_contract.push(j);
        }
    }
    let mut letters = batch;
    letters.extend(left.iter().filter(|letter| !right.contains(letter)));
    letters.extend(right.iter().filter(|letter| !left.contains(letter)));
    (x.dot(y, axes), letters)
}

/// The determinant of small matrices, by the signed sum along the first row.
pub fn determinant<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let shape = x.shape();
    let rank = shape.len();
    const LARGEST: usize = 5;
    match shape[..] {
        [.., rows, columns] if rows == columns && (1..=LARGEST).contains(&rows) => {}
        _ => return Err(format!("square matrices of up to {LARGEST} rows, got shape {shape:?}")),
    }
    let n = shape[rank - 1];
    let element = |row: usize, column: usize| x.index(rank - 2, row).index(rank - 2, column);
    fn minor<'b>(
        element: &dyn Fn(usize, usize) -> Tensor<'b>,
        row: usize,
        columns: &[usize],
    ) -> Tensor<'b> {
        if let [column] = columns {
            return element(row, *column);
        }
        let mut total: Option<Tensor<'b>> = None;
        for (i, &column) in columns.iter().enumerate() {
            let rest: Vec<usize> =
                columns.iter().copied().filter(|&other| other != column).collect();
            let term = element(row, column) * minor(element, row + 1, &rest);
            total = Some(match total {
                None => term,
                Some(sum) if i % 2 == 0 => sum + term,
                Some(sum) => sum - term,
            });
        }
        total.unwrap_or_else(|| element(row, 0))
    }
    one(minor(&element, 0, &(0..n).collect::<Vec<_>>()))
}
