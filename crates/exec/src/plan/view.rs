//! Where a value lies: a buffer, an offset, and a stride for each axis.
//!
//! Broadcast, transpose, slice, reverse and most reshapes move nothing: they only change strides.

/// A buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BufferId(pub u32);

/// A strided view of a buffer; offset and strides count elements. The extents are those of the
/// value's type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub buffer: BufferId,
    pub offset: isize,
    pub strides: Vec<isize>,
}

/// Strides of a dense row-major array.
pub(crate) fn row_major(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1) as isize;
    }
    strides
}

impl View {
    pub(crate) fn dense(buffer: BufferId, shape: &[usize]) -> View {
        View { buffer, offset: 0, strides: row_major(shape) }
    }

    /// Whether the elements lie in row-major order without gaps from the start of the buffer.
    pub(crate) fn is_dense(&self, shape: &[usize]) -> bool {
        let dense = row_major(shape);
        self.offset == 0
            && (0..shape.len()).all(|axis| shape[axis] == 1 || self.strides[axis] == dense[axis])
    }

    pub(crate) fn transpose(&self, permutation: &[usize]) -> View {
        let strides = permutation.iter().map(|&axis| self.strides[axis]).collect();
        View { strides, ..*self }
    }

    pub(crate) fn broadcast(&self, from: &[usize], to: &[usize], axes: &[usize]) -> View {
        let mut strides = vec![0; to.len()];
        for (axis, &target) in axes.iter().enumerate() {
            if from[axis] == to[target] {
                strides[target] = self.strides[axis];
            }
        }
        View { strides, ..*self }
    }

    pub(crate) fn slice(&self, start: &[usize], stride: &[usize]) -> View {
        let offset: isize =
            start.iter().zip(&self.strides).map(|(&start, &stride)| start as isize * stride).sum();
        let strides =
            self.strides.iter().zip(stride).map(|(&own, &step)| own * step as isize).collect();
        View { buffer: self.buffer, offset: self.offset + offset, strides }
    }

    pub(crate) fn reverse(&self, shape: &[usize], axes: &[usize]) -> View {
        let mut view = self.clone();
        for &axis in axes {
            view.offset += (shape[axis].max(1) as isize - 1) * view.strides[axis];
            view.strides[axis] = -view.strides[axis];
        }
        view
    }

    /// The view under another shape of as many elements; `None` if elements would have to move.
    pub(crate) fn reshape(&self, from: &[usize], to: &[usize]) -> Option<View> {
        if from.contains(&0) {
            return Some(View { strides: row_major(to), ..*self });
        }
        // Both shapes are cut into the shortest runs of axes that hold equally many elements; a
        // run of old axes must be one strided range, which the new axes then split.
        let mut strides = vec![0isize; to.len()];
        let (mut i, mut j) = (0, 0);
        while i < from.len() || j < to.len() {
            let (first_i, first_j) = (i, j);
            let mut old = if i < from.len() { from[i] } else { 1 };
            let mut new = if j < to.len() { to[j] } else { 1 };
            i = (i + 1).min(from.len());
            j = (j + 1).min(to.len());
            while old != new {
                if old < new {
                    old *= from[i];
                    i += 1;
                } else {
                    new *= to[j];
                    j += 1;
                }
            }
            let run: Vec<usize> = (first_i..i).filter(|&axis| from[axis] != 1).collect();
            let dense = run.windows(2).all(|pair| {
                self.strides[pair[0]] == self.strides[pair[1]] * from[pair[1]] as isize
            });
            if !dense {
                return None;
            }
            let mut stride = run.last().map_or(0, |&axis| self.strides[axis]);
            for axis in (first_j..j).rev() {
                strides[axis] = stride;
                stride *= to[axis] as isize;
            }
        }
        Some(View { strides, ..*self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(view: &View, shape: &[usize]) -> Vec<isize> {
        let mut found = vec![view.offset];
        for (axis, &extent) in shape.iter().enumerate() {
            let steps = (0..extent as isize).map(|i| i * view.strides[axis]);
            let steps: Vec<isize> = steps.collect();
            found = found.iter().flat_map(|&base| steps.iter().map(move |s| base + s)).collect();
        }
        found
    }

    #[test]
    fn a_reshape_keeps_the_order_of_elements_or_is_refused() {
        let dense = View::dense(BufferId(0), &[4, 6]);
        let cut = dense.slice(&[0, 1], &[1, 2]);
        assert_eq!(elements(&cut, &[4, 3]), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]);
        for (view, from, to) in [
            (dense.clone(), vec![4, 6], vec![2, 1, 2, 3, 2]),
            (cut.clone(), vec![4, 3], vec![12]),
            (dense.transpose(&[1, 0]), vec![6, 4], vec![3, 2, 2, 2, 1]),
            (dense.reverse(&[4, 6], &[1]), vec![4, 6], vec![2, 2, 1, 6]),
        ] {
            let moved = view.reshape(&from, &to).expect("no element moves");
            assert_eq!(elements(&moved, &to), elements(&view, &from));
        }
        assert_eq!(dense.transpose(&[1, 0]).reshape(&[6, 4], &[24]), None);
        assert_eq!(dense.slice(&[0, 0], &[1, 1]).reshape(&[4, 5], &[20]), None);
    }

    #[test]
    fn a_broadcast_axis_has_stride_zero() {
        let row = View::dense(BufferId(0), &[3]);
        let wide = row.broadcast(&[3], &[2, 3], &[1]);
        assert_eq!(elements(&wide, &[2, 3]), [0, 1, 2, 0, 1, 2]);
        assert!(!wide.is_dense(&[2, 3]));
    }
}
