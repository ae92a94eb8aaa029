//! Training on tasks that follow each other.

use crate::part::UpdateRule;
use crate::{
    Ended, Examples, Length, Member, Observer, Resources, Schedule, TrainConfig, TrainError,
    TrainState, Trainer,
};
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_exec::Executor;
use thalweg_nn::Model;

/// What is trained on tasks that follow each other, all on the same inputs.
pub struct TaskStream<'a> {
    /// The model.
    pub model: &'a Model,
    /// The optimizer.
    pub rule: &'a UpdateRule,
    /// The inputs; their targets only say of what type and shape those of a task are.
    pub examples: &'a Examples,
    /// Loss, batch and precision; length and optimizer are not read.
    pub config: &'a TrainConfig,
    /// Number of tasks.
    pub tasks: u64,
    /// Steps of each.
    pub steps: u64,
    /// The targets of a member in a task.
    pub targets: &'a dyn Fn(&Member, u64) -> Array,
}

/// Trains a population through a stream of tasks: at the end of each the targets change, and
/// weights, optimizer and data order go on.
///
/// The observer is called at the end of each task at least, and no segment that it sees lies in two
/// of them where the configuration's divides a task's steps; a segment's first step over
/// [`TaskStream::steps`] is its task. Losses and accuracies of steps are taken before the step, so
/// that their mean over a task is the online one.
///
/// # Errors
/// As [`Trainer::new`] and [`Trainer::run`]; no tasks or steps; targets of another type or shape; a
/// schedule that is not constant, because a stream has no end that it could be laid over.
pub fn train_on_tasks(
    executor: &Arc<Executor>,
    resources: Resources,
    stream: &TaskStream<'_>,
    members: &[Member],
    observer: &mut dyn Observer,
) -> Result<(TrainState, Ended), TrainError> {
    let config = stream.config;
    if config.schedule != Schedule::default() {
        let what = "schedule of a stream of tasks";
        return Err(TrainError::setting(what, "constant", &config.schedule));
    }
    let steps = stream.tasks.checked_mul(stream.steps).filter(|&steps| steps > 0);
    if steps.is_none() {
        let got = format!("{} of {} steps", stream.tasks, stream.steps);
        return Err(TrainError::setting("stream of tasks", "at least one of at least a step", got));
    }
    let mut state: Option<TrainState> = None;
    for task in 0..stream.tasks {
        let targets = members.iter().map(|member| (stream.targets)(member, task)).collect();
        let config = TrainConfig {
            length: Length::Steps((task + 1) * stream.steps),
            segment: config.segment.min(stream.steps),
            ..config.clone()
        };
        let trainer = Trainer::with_rule(
            executor.clone(),
            stream.model.clone(),
            stream.rule.clone(),
            stream.examples.for_members(targets)?,
            config,
            resources,
        )?;
        let mut going = match state.take() {
            Some(state) => state,
            None => trainer.start(members)?,
        };
        // A run that is stopped at its last step is told as finished, which the last task's end is.
        let mut broke = false;
        let mut seen = |segment: &crate::Segment<'_>| {
            let flow = observer.segment(segment);
            broke |= flow.is_break();
            flow
        };
        let ended = trainer.run(&mut going, &mut seen)?;
        let last = task + 1 == stream.tasks && ended == Ended::Finished;
        if broke && !last {
            return Ok((going, Ended::Stopped));
        }
        state = Some(going);
    }
    match state {
        Some(state) => Ok((state, Ended::Finished)),
        None => Err(TrainError::setting("stream of tasks", "at least one", 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{History, Optimizer};
    use std::ops::ControlFlow;
    use thalweg_array::DType;
    use thalweg_nn::Architecture;

    fn examples() -> Examples {
        let inputs: Vec<f64> = (0..24).map(|i| f64::from(i * 7 % 11) / 5.0 - 1.0).collect();
        let inputs = Array::from_slice(&[8, 3], &inputs).unwrap();
        Examples::from_arrays(inputs, Array::vector(&[0i32; 8]), true, DType::F64).unwrap()
    }

    fn labels(member: &Member, task: u64) -> Array {
        let label = |i: u64| ((i + member.seed + task) % 2) as i32;
        Array::vector(&(0..8).map(label).collect::<Vec<i32>>())
    }

    fn run(members: &[Member], tasks: u64, stop: Option<u64>) -> (TrainState, Ended, History) {
        let model = "linear".parse::<Architecture>().unwrap().build(&[3], 2).unwrap();
        let config = TrainConfig {
            schedule: Schedule::default(),
            batch: 8,
            precision: DType::F64,
            segment: 10,
            ..TrainConfig::default()
        };
        let (rule, examples) = (Optimizer::momentum(0.9).rule(), examples());
        let stream = TaskStream {
            model: &model,
            rule: &rule,
            examples: &examples,
            config: &config,
            tasks,
            steps: 5,
            targets: &labels,
        };
        let executor = Arc::new(Executor::new(1));
        let mut history = History::default();
        let mut observer = |segment: &crate::Segment<'_>| {
            let flow = history.segment(segment);
            match stop == Some(segment.end) {
                true => ControlFlow::Break(()),
                false => flow,
            }
        };
        let resources = Resources::default();
        let (state, ended) =
            train_on_tasks(&executor, resources, &stream, members, &mut observer).unwrap();
        (state, ended, history)
    }

    #[test]
    fn every_member_has_its_own_targets_and_momentum_goes_on_between_tasks() {
        let members = [Member::new(4, 0.5), Member::new(5, 0.5)];
        let (both, ended, history) = run(&members, 3, None);
        assert_eq!((both.step(), ended), (15, Ended::Finished));
        assert_eq!(history.metrics.loss[0].len(), 15);
        for (i, member) in members.iter().enumerate() {
            let (alone, ..) = run(std::slice::from_ref(member), 3, None);
            assert_eq!(alone.weights(0).unwrap(), both.weights(i).unwrap());
        }
        // Targets that turn round raise the loss at the start of a task.
        let losses = &history.metrics.loss[0];
        assert!(losses[5] > losses[4], "{losses:?}");
        // One task of the first labels, of as many steps, ends elsewhere than three.
        let (first, ..) = run(&members, 1, None);
        assert_ne!(first.weights(0).unwrap(), both.weights(0).unwrap());
        // Momentum goes on: a run that begins at the first task's weights ends elsewhere.
        let model = "linear".parse::<Architecture>().unwrap().build(&[3], 2).unwrap();
        let config = TrainConfig {
            optimizer: Optimizer::momentum(0.9),
            schedule: Schedule::default(),
            batch: 8,
            length: Length::Steps(5),
            precision: DType::F64,
            ..TrainConfig::default()
        };
        let second = examples().for_members(vec![labels(&members[0], 1)]).unwrap();
        let executor = Arc::new(Executor::new(1));
        let trainer = Trainer::new(executor, model, second, config, Resources::default()).unwrap();
        let from = [first.weights(0).unwrap()];
        let mut fresh = trainer.start_from(&members[..1], &from).unwrap();
        trainer.run(&mut fresh, &mut crate::Unobserved).unwrap();
        let (two, ..) = run(&members, 2, None);
        let [fresh, two] = [fresh, two].map(|state| state.weights(0).unwrap().parameters.flatten());
        let apart = fresh.iter().zip(&two).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart > 1e-3, "{apart}");
    }

    #[test]
    fn a_stream_stops_where_it_is_told() {
        let (state, ended, _) = run(&[Member::new(0, 0.1)], 3, Some(10));
        assert_eq!((state.step(), ended), (10, Ended::Stopped));
        let (state, ended, _) = run(&[Member::new(0, 0.1)], 2, Some(10));
        assert_eq!((state.step(), ended), (10, Ended::Finished));
    }

    #[test]
    fn targets_are_those_of_the_members() {
        let examples = examples();
        let wrong = examples.for_members(vec![Array::vector(&[0i32; 7])]).unwrap_err();
        assert_eq!(wrong.to_string(), "targets of a member: expected i32[8], got i32[7]");
        assert!(examples.for_members(Vec::new()).is_err());
        let two = examples.for_members(vec![Array::vector(&[1i32; 8]); 2]).unwrap();
        let model = "linear".parse::<Architecture>().unwrap().build(&[3], 2).unwrap();
        let executor = Arc::new(Executor::new(1));
        let loss = thalweg_nn::Loss::default();
        let refused = crate::Evaluator::new(executor.clone(), model.clone(), loss, two.clone(), 8);
        assert!(refused.is_err());
        let config = TrainConfig { batch: 8, precision: DType::F64, ..TrainConfig::default() };
        let trainer = Trainer::new(executor, model, two, config, Resources::default()).unwrap();
        let mut state = trainer.start(&[Member::new(0, 0.1)]).unwrap();
        let error = trainer.run(&mut state, &mut crate::Unobserved).unwrap_err();
        let expected = "targets of members: expected those of each of 1 members, got 2";
        assert_eq!(error.to_string(), expected);
    }
}
