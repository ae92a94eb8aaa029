//! Loops.

use crate::jvp::Dual;
use crate::transpose::Operand;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use thalweg_graph::{Builder, Scan, Tensor, While};

pub(crate) struct Tape<'b>(PhantomData<&'b ()>);

impl<'b> Tape<'b> {
    pub(crate) fn transpose(
        self,
        _: &'b Builder,
        _: &[Option<Tensor<'b>>],
    ) -> Vec<Option<Tensor<'b>>> {
        Vec::new()
    }
}

pub(crate) fn forward<'b>(
    builder: &'b Builder,
    _: &Arc<Scan>,
    _: &'static Location<'static>,
    _: &[Operand<'b>],
    _: bool,
) -> (Vec<Option<Tensor<'b>>>, Option<Tape<'b>>) {
    builder.reject("scan", "no derivative", "one");
    (Vec::new(), Some(Tape(PhantomData)))
}

pub(crate) fn jvp<'b>(
    builder: &'b Builder,
    _: &Arc<Scan>,
    _: &'static Location<'static>,
    operands: &[Dual<'b>],
) -> Vec<Dual<'b>> {
    builder.reject("scan", "no derivative", "one");
    operands.to_vec()
}

pub(crate) fn while_jvp<'b>(
    builder: &'b Builder,
    looped: &Arc<While>,
    _: &[Tensor<'b>],
    _: &[Option<Tensor<'b>>],
) -> Vec<Option<Tensor<'b>>> {
    builder.reject("while", "no derivative", "one");
    vec![None; looped.n_carry]
}
