//! Where a population is: a value that can be kept, forked and resumed exactly.

use crate::{Member, Recipe, TrainError};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_graph::TensorType;
use thalweg_nn::{Parameters, Weights};

/// Whether a member still trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It takes steps, or has taken all of them.
    Running,
    /// Its loss or gradient norm was not finite at this step (counted from zero); its weights are
    /// those before that step.
    Diverged {
        /// The step.
        step: u64,
    },
}

/// One member: what it is and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberState {
    /// What it is.
    pub member: Member,
    /// Whether it still trains.
    pub status: Status,
    /// All hyper-parameters, in the rule's order.
    pub(crate) hyper: Vec<f64>,
    /// Parameters, buffers, optimizer's arrays.
    pub(crate) arrays: Vec<Array>,
}

/// Names and types of a member's arrays.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    /// Name in a saved state, and type.
    pub(crate) arrays: Vec<(String, TensorType)>,
    pub(crate) parameters: Vec<String>,
    pub(crate) buffers: Vec<String>,
    pub(crate) hyper: Vec<String>,
}

impl Layout {
    pub(crate) fn new(recipe: &Recipe, float: DType) -> Layout {
        let model = &recipe.model;
        let parameters: Vec<String> = model.parameters().iter().map(|p| p.name.clone()).collect();
        let buffers: Vec<String> = model.buffers().iter().map(|b| b.name.clone()).collect();
        let group = |kind: &str, names: &[String], types: Vec<TensorType>| {
            let full = names.iter().map(|name| format!("{kind}.{name}")).collect::<Vec<_>>();
            full.into_iter().zip(types).collect::<Vec<_>>()
        };
        let arrays = [
            group("parameter", &parameters, model.parameter_types(float)),
            group("buffer", &buffers, model.buffer_types(float)),
            group("optimizer", &recipe.optimizer_names(), recipe.optimizer_types(float)),
        ]
        .concat();
        let hyper = recipe.rule.hyper_parameters();
        let hyper = hyper.iter().map(|hyper| hyper.name.to_owned()).collect();
        Layout { arrays, parameters, buffers, hyper }
    }

    /// Bytes of one member.
    pub(crate) fn bytes(&self) -> usize {
        self.arrays.iter().map(|(_, ty)| ty.size_in_bytes()).sum()
    }
}

/// A population after some number of steps.
///
/// Cheap to clone: arrays are shared until one of them is written.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    pub(crate) layout: Arc<Layout>,
    pub(crate) step: u64,
    pub(crate) members: Vec<MemberState>,
}

impl TrainState {
    /// Steps taken.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The members in order.
    pub fn members(&self) -> &[MemberState] {
        &self.members
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether every member has diverged.
    pub fn all_diverged(&self) -> bool {
        self.members.iter().all(|member| member.status != Status::Running)
    }

    /// The weights of a member; nothing is copied.
    ///
    /// # Errors
    /// A member that is not there.
    pub fn weights(&self, member: usize) -> Result<Weights, TrainError> {
        let state = self.members.get(member).ok_or_else(|| {
            TrainError::setting("member", format!("one of {}", self.members.len()), member)
        })?;
        let named = |names: &[String], arrays: &[Array]| {
            Parameters::new(names.iter().cloned().zip(arrays.iter().cloned()).collect())
        };
        let n = self.layout.parameters.len();
        Ok(Weights {
            parameters: named(&self.layout.parameters, &state.arrays[..n])?,
            buffers: named(&self.layout.buffers, &state.arrays[n..])?,
        })
    }

    /// What the optimizer keeps of a member under a slot's name, as Adam's `exp_avg_sq`, for each
    /// parameter; none where it keeps nothing of that name.
    ///
    /// # Errors
    /// A member that is not there.
    pub fn slot(&self, member: usize, name: &str) -> Result<Option<Parameters>, TrainError> {
        let state = self.members.get(member).ok_or_else(|| {
            TrainError::setting("member", format!("one of {}", self.members.len()), member)
        })?;
        let prefix = format!("optimizer.{name}.");
        let arrays = self.layout.arrays.iter().zip(&state.arrays);
        let of_slot = arrays.filter_map(|((full, _), array)| {
            Some((full.strip_prefix(&prefix)?.to_owned(), array.clone()))
        });
        let of_slot: Vec<(String, Array)> = of_slot.collect();
        Ok(if of_slot.is_empty() { None } else { Some(Parameters::new(of_slot)?) })
    }

    /// All that is needed to go on from here, each array with the members' axis in front:
    /// `step`, `seeds`, `hyper`, `diverged_at` (-1 where it has not), `parameter.*`, `buffer.*`
    /// and `optimizer.*`.
    ///
    /// # Errors
    /// No room, or no members.
    pub fn to_named_arrays(&self) -> Result<Vec<(String, Array)>, TrainError> {
        let n = self.members.len();
        let seeds: Vec<u32> = self.members.iter().flat_map(|m| words(m.member.seed)).collect();
        let hyper: Vec<f64> = self.members.iter().flat_map(|m| m.hyper.clone()).collect();
        let diverged: Vec<i64> = self.members.iter().map(|m| diverged_at(m.status)).collect();
        let mut named = vec![
            ("step".to_owned(), Array::scalar(self.step as i64)),
            ("seeds".to_owned(), Array::from_slice(&[n, 2], &seeds)?),
            ("hyper".to_owned(), Array::from_slice(&[n, self.layout.hyper.len()], &hyper)?),
            ("diverged_at".to_owned(), Array::vector(&diverged)),
        ];
        for (i, (name, _)) in self.layout.arrays.iter().enumerate() {
            let each: Vec<Array> = self.members.iter().map(|m| m.arrays[i].clone()).collect();
            named.push((name.clone(), Array::stack(&each)?));
        }
        Ok(named)
    }

    /// The state that was saved of these members.
    pub(crate) fn from_named_arrays(
        layout: &Arc<Layout>,
        members: Vec<(Member, Vec<f64>)>,
        arrays: &[(String, Array)],
    ) -> Result<TrainState, TrainError> {
        let n = members.len();
        let find = |name: &str, dtype: DType, shape: &[usize]| {
            let expected = TensorType::new(dtype, shape);
            let found = arrays.iter().find(|(known, _)| known == name);
            let (_, array) = found.ok_or_else(|| TrainError::state(name, &expected, "nothing"))?;
            let got = TensorType::new(array.dtype(), array.shape());
            if got != expected {
                return Err(TrainError::state(name, &expected, got));
            }
            Ok(array)
        };
        let step = find("step", DType::I64, &[])?.as_slice::<i64>()?[0];
        let step = u64::try_from(step)
            .map_err(|_| TrainError::state("step", "a number of at least 0", step))?;
        let seeds = find("seeds", DType::U32, &[n, 2])?.as_slice::<u32>()?;
        let hyper = find("hyper", DType::F64, &[n, layout.hyper.len()])?.as_slice::<f64>()?;
        let diverged = find("diverged_at", DType::I64, &[n])?.as_slice::<i64>()?;
        let mut states = Vec::with_capacity(n);
        for (i, (member, values)) in members.into_iter().enumerate() {
            if seeds[2 * i..][..2] != words(member.seed) {
                let got = u64::from(seeds[2 * i]) | u64::from(seeds[2 * i + 1]) << 32;
                return Err(TrainError::state(format!("seed of member {i}"), member.seed, got));
            }
            let saved = &hyper[i * values.len()..][..values.len()];
            for ((name, value), saved) in layout.hyper.iter().zip(&values).zip(saved) {
                if value.to_bits() != saved.to_bits() {
                    let name = format!("{name} of member {i}");
                    return Err(TrainError::state(name, value, saved));
                }
            }
            let status = match u64::try_from(diverged[i]) {
                Ok(step) => Status::Diverged { step },
                Err(_) => Status::Running,
            };
            states.push(MemberState { member, status, hyper: values, arrays: Vec::new() });
        }
        for (name, ty) in &layout.arrays {
            let array = find(name, ty.dtype, &[&[n], ty.shape.as_slice()].concat())?;
            for (i, state) in states.iter_mut().enumerate() {
                state.arrays.push(array.row(i)?);
            }
        }
        Ok(TrainState { layout: layout.clone(), step, members: states })
    }
}

fn words(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

fn diverged_at(status: Status) -> i64 {
    match status {
        Status::Running => -1,
        Status::Diverged { step } => step as i64,
    }
}
