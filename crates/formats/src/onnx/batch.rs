//! Files that were exported with a fixed batch size, applied to others.
//!
//! The exporters write the batch size of their example into reshapes and the like unless told
//! otherwise. The file is first traced at its own batch size, which gives each value the shape
//! that its author saw. At another batch size, the axis whose extent differs is where the batch
//! is; where a constant shape would put the old size, it gets the new one in that place.

use super::graph::Node;
use super::value::Laid;
use std::collections::BTreeMap;
use std::sync::Arc;
use thalweg_graph::Op;

/// Shapes at the file's own batch size.
#[derive(Clone, Debug, Default)]
pub(super) struct Shapes {
    pub shapes: BTreeMap<String, Vec<usize>>,
}

/// Where the batch is within an axis: that axis counts `outer * batch * inner`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub axis: usize,
    pub outer: usize,
}

/// What is known of the batch axis during one trace.
#[derive(Clone, Debug)]
pub(super) enum Batch {
    /// Nothing is assumed.
    Unknown,
    /// A trace at the file's own size, which notes the shapes.
    Noting(Shapes),
    /// A trace at another size.
    Moved(Moved),
}

/// A trace at another batch size than the file's.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub file: usize,
    pub now: usize,
    pub noted: Arc<Shapes>,
    places: BTreeMap<String, Place>,
}

impl Batch {
    /// A trace at `now` of a file that was exported at `file`.
    pub fn moved(file: usize, now: usize, noted: Arc<Shapes>) -> Batch {
        if file == now {
            return Batch::Unknown;
        }
        Batch::Moved(Moved { file, now, noted, places: BTreeMap::new() })
    }

    /// Takes note of an output of a node.
    pub fn see(&mut self, node: &Node, name: &str, _output: usize, shape: Option<&[usize]>) {
        let Some(shape) = shape else { return };
        match self {
            Batch::Unknown => {}
            Batch::Noting(noted) => {
                noted.shapes.insert(name.to_owned(), shape.to_vec());
            }
            Batch::Moved(moved) => moved.see(node, name, shape),
        }
    }

    /// The moved batch, if it is.
    pub fn as_moved(&self) -> Option<&Moved> {
        match self {
            Batch::Moved(moved) => Some(moved),
            Batch::Unknown | Batch::Noting(_) => None,
        }
    }
}

impl Moved {
    /// A value's shape at the file's batch size.
    pub fn noted(&self, name: &str) -> Option<&[usize]> {
        self.noted.shapes.get(name).map(Vec::as_slice)
    }

    /// Where the batch is in a value of this shape.
    pub fn place(&self, name: &str, shape: &[usize]) -> Option<Place> {
        if let Some(&place) = self.places.get(name) {
            return Some(place);
        }
        Some(Place { axis: self.axis(self.noted(name)?, shape)?, outer: 1 })
    }

    /// The only axis that has grown with the batch.
    fn axis(&self, noted: &[usize], shape: &[usize]) -> Option<usize> {
        if noted.len() != shape.len() {
            return None;
        }
        let mut differing = (0..shape.len()).filter(|&axis| noted[axis] != shape[axis]);
        let axis = differing.next()?;
        let grown = noted[axis].checked_mul(self.now) == shape[axis].checked_mul(self.file);
        (differing.next().is_none() && grown).then_some(axis)
    }

    fn see(&mut self, node: &Node, name: &str, shape: &[usize]) {
        let Some(axis) = self.noted(name).and_then(|noted| self.axis(noted, shape)) else {
            return;
        };
        if self.places.get(name).is_some_and(|place| place.axis == axis) {
            return;
        }
        // A factor outside the batch stays through operations that leave the axis as it is.
        let kept = node.inputs.iter().find_map(|input| {
            let place = self.places.get(input)?;
            (place.outer != 1 && self.noted(input)?.get(axis) == self.noted(name)?.get(axis))
                .then_some(place.outer)
        });
        let outer = kept.unwrap_or(1);
        self.places.insert(name.to_owned(), Place { axis, outer });
    }

    /// Notes where the batch is in a value that a reshape or a transpose gives.
    pub fn put(&mut self, name: &str, place: Place) {
        self.places.insert(name.to_owned(), place);
    }

    /// The shape that a reshape should give here, with the place of the batch in it.
    ///
    /// `target` is the literal shape, `input` the name and the shape of what is reshaped.
    pub fn reshaped(
        &self,
        input: (&str, &[usize]),
        output: &str,
        target: &[i64],
    ) -> Option<(Vec<usize>, Place)> {
        let place = self.place(input.0, input.1)?;
        let before = self.noted(input.0)?;
        let wanted = self.noted(output)?;
        let count = |extents: &[usize]| extents.iter().product::<usize>();
        let start = count(&before[..place.axis]) * place.outer;
        let prefix = |axis: usize| count(&wanted[..axis]);
        let holds = |axis: usize| {
            let first = prefix(axis);
            first != 0
                && first <= start
                && start.is_multiple_of(first)
                && wanted[axis] * first >= start * self.file
                && wanted[axis].is_multiple_of(start / first * self.file)
        };
        let axes = || 0..wanted.len();
        let exact = axes().find(|&axis| prefix(axis) == start && wanted[axis] == self.file);
        let free = || axes().find(|&axis| target.get(axis) == Some(&-1) && holds(axis));
        // The last axis holds features; the batch joins it only where nothing else can hold it.
        let inner = || axes().rev().skip(1).find(|&axis| holds(axis));
        let axis =
            exact.or_else(free).or_else(inner).or_else(|| axes().find(|&axis| holds(axis)))?;
        let mut shape = wanted.to_vec();
        shape[axis] = shape[axis].checked_mul(self.now)? / self.file;
        let fits = thalweg_array::element_count(&shape) == thalweg_array::element_count(input.1);
        fits.then(|| (shape, Place { axis, outer: start / prefix(axis) }))
    }
}

impl Batch {
    /// Operands of an element-wise operation: one that holds the file's batch, the same for every
    /// example, is repeated for the batch at hand.
    pub fn stretch(&self, operands: &mut [Laid<'_>]) -> Result<(), String> {
        let Some(moved) = self.as_moved() else { return Ok(()) };
        let rank = operands.iter().map(|x| x.rank()).max().unwrap_or(0);
        for axis in 0..rank {
            let extent = |x: &Laid<'_>| {
                (axis + x.rank()).checked_sub(rank).map_or(1, |axis| x.shape()[axis])
            };
            let has_now = operands.iter().any(|x| extent(x) == moved.now);
            for x in operands.iter_mut() {
                if has_now && extent(x) == moved.file && moved.file > 1 {
                    let axis = axis + x.rank() - rank;
                    *x = moved.repeated(*x, axis)?;
                }
            }
        }
        Ok(())
    }

    /// Parts to be put end to end along an axis, likewise.
    pub fn stretch_beside(&self, parts: &mut [Laid<'_>], along: usize) -> Result<(), String> {
        let Some(moved) = self.as_moved() else { return Ok(()) };
        let rank = parts.first().map_or(0, |part| part.rank());
        for axis in (0..rank).filter(|&axis| axis != along) {
            let has_now = parts.iter().any(|part| part.shape()[axis] == moved.now);
            for part in parts.iter_mut() {
                if has_now && part.shape()[axis] == moved.file {
                    *part = moved.repeated(*part, axis)?;
                }
            }
        }
        Ok(())
    }

    /// One tensor whose axis should have this extent, likewise.
    pub fn fit<'b>(&self, x: Laid<'b>, axis: usize, extent: usize) -> Result<Laid<'b>, String> {
        match self.as_moved() {
            Some(moved) if extent == moved.now && x.shape().get(axis) == Some(&moved.file) => {
                moved.repeated(x, axis)
            }
            _ => Ok(x),
        }
    }
}

impl Moved {
    /// The first example's part of a constant, for each example of the batch at hand.
    fn repeated<'b>(&self, x: Laid<'b>, axis: usize) -> Result<Laid<'b>, String> {
        let place = x.axis(axis);
        if self.file > 1 && !is_repeated(x, place, self.file) {
            return Err(format!(
                "it holds values for a batch of {}; export the model with a dynamic batch size",
                self.file
            ));
        }
        let mut shape = x.tensor.shape();
        shape[place] = self.now;
        Ok(x.like(x.tensor.slice(place, 0, 1).broadcast_to(&shape)))
    }
}

/// Whether a tensor is a constant that is the same all along an axis.
fn is_repeated(x: Laid<'_>, axis: usize, extent: usize) -> bool {
    let node = x.tensor.builder().node(x.tensor.value().node);
    match &node.op {
        Op::Broadcast { axes, .. } => match axes.iter().position(|&to| to == axis) {
            None => true,
            Some(from) => {
                let builder = x.tensor.builder();
                node.inputs
                    .first()
                    .is_some_and(|&input| builder.tensor(input).shape().get(from) == Some(&1))
            }
        },
        Op::Constant(array) => {
            let inner: usize = array.shape()[axis + 1..].iter().product();
            let size = inner * array.dtype().size();
            let bytes = array.as_bytes();
            size == 0
                || bytes
                    .chunks_exact(size * extent)
                    .all(|block| block.chunks_exact(size).all(|part| part == &block[..size]))
        }
        _ => false,
    }
}

impl Batch {
    /// Operands of a matrix product, whose last two axes are no batch.
    pub fn stretch_products(&self, operands: &mut [Laid<'_>; 2]) -> Result<(), String> {
        let Some(moved) = self.as_moved() else { return Ok(()) };
        let [a, b] = operands;
        if a.rank() != b.rank() {
            return Ok(());
        }
        for axis in 0..a.rank().saturating_sub(2) {
            let (left, right) = (a.shape()[axis], b.shape()[axis]);
            if moved.file > 1 && left == moved.now && right == moved.file {
                *b = moved.repeated(*b, axis)?;
            } else if moved.file > 1 && right == moved.now && left == moved.file {
                *a = moved.repeated(*a, axis)?;
            }
        }
        Ok(())
    }
}
