//! Action values against the solutions of Bellman's equation.

use super::*;
use thalweg_data::BlockReward;
use thalweg_nn::Architecture;
use thalweg_train::initialize;

/// Images of three states, each of which one of two images shows.
fn images() -> Array {
    let values: Vec<f64> = (0..6 * 6).map(|i| f64::from(u8::from(i % 7 == 0))).collect();
    Array::from_slice(&[6, 6], &values).unwrap()
}

const STATES: [usize; 6] = [0, 1, 2, 1, 0, 2];

fn model(text: &str, outputs: usize) -> Model {
    text.parse::<Architecture>().unwrap().build(&[6], outputs).unwrap()
}

/// Actions decide where to go: a wrong next state, reward or action has another solution.
fn steered() -> BlockMdp {
    let sure = |next: usize| (0..3).map(|s| f64::from(u8::from(s == next))).collect::<Vec<f64>>();
    let transitions: Vec<Vec<Vec<f64>>> =
        (0..3).map(|s| vec![sure((s + 1) % 3), sure(s)]).collect();
    let rewards = [vec![0.0, 0.1], vec![-1.0, 0.1], vec![2.0, 0.5]];
    BlockMdp::new(&STATES, &rewards, &transitions).unwrap()
}

fn config() -> DeepQConfig {
    DeepQConfig {
        discount: 0.7,
        exploration: 0.3,
        capacity: 400,
        warm_up: 200,
        batch: 32,
        refresh: 50,
        values: ActionValues::Numbers,
    }
}

struct Run {
    learning: DeepQLearning,
    nets: DeepQNets,
    metrics: Vec<DeepQMetrics>,
}

/// Trains from the weights of each seed in each process.
fn run(
    (model, optimizer): (&Model, &str),
    processes: &[BlockMdp],
    lr: f64,
    steps: u64,
    config: &DeepQConfig,
) -> Run {
    let executor = Arc::new(Executor::new(1));
    let ctx = Context::new(&executor, 0);
    let optimizer = optimizer.parse::<Optimizer>().unwrap();
    let actions = processes[0].actions();
    let learning =
        DeepQLearning::new(executor.clone(), model, &optimizer, &images(), actions, config.clone())
            .unwrap();
    let weights: Vec<Weights> =
        (0..processes.len()).map(|i| initialize(model, i as u64, DType::F64).unwrap()).collect();
    let members: Vec<DeepQMember<'_>> = processes
        .iter()
        .zip(&weights)
        .enumerate()
        .map(|(i, (process, weights))| {
            let stream = Stream::new(i as u64, "deep q");
            DeepQMember { weights, process, stream }
        })
        .collect();
    let mut nets = learning.start(&members).unwrap();
    let hyper = vec![BTreeMap::from([("lr", lr)]); processes.len()];
    let metrics = learning.steps(&ctx, &mut nets, &hyper, steps).unwrap();
    Run { learning, nets, metrics }
}

/// How far a member's values are from the solution, at most.
fn off(run: &Run, member: usize, process: &BlockMdp, discount: f64) -> f64 {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let found = run.learning.values(&ctx, &run.nets).unwrap()[member].to_f64_vec();
    let (solution, actions) = (process.optimal_values(discount).unwrap(), process.actions());
    let states =
        (0..process.states()).flat_map(|s| process.rows(s).iter().map(move |&row| (s, row)));
    let each =
        states.flat_map(|(s, row)| (0..actions).map(move |a| (row * actions + a, s * actions + a)));
    each.map(|(i, j)| (found[i] - solution[j]).abs()).fold(0.0, f64::max)
}

#[test]
fn a_table_of_values_becomes_the_solution_of_bellmans_equation() {
    let (process, config) = (steered(), config());
    let solution = process.optimal_values(config.discount).unwrap();
    // It is worth going through the state that costs one.
    assert!(solution[2] > solution[3] && solution[0] > solution[1]);
    let linear = model("linear", 2);
    let found = run((&linear, "sgd"), std::slice::from_ref(&process), 0.5, 6000, &config);
    let off = off(&found, 0, &process, config.discount);
    assert!(off < 1e-3, "{off}");
    // Always moving on is best, and is done but in half of the three of ten steps that explore.
    let arrays = &found.nets.members[0];
    let moves = arrays[arrays.len() - 3].to_f64_vec().iter().filter(|a| **a == 0.0).count();
    assert!((300..=380).contains(&moves), "{moves} of 400");
    assert!(found.metrics[0].loss[5990..].iter().all(|loss| *loss < 1e-4));
}

#[test]
fn the_processes_of_classes_are_solved_also_by_categories() {
    let of = |reward| BlockMdp::of_classes(&STATES, 3, reward, &Stream::new(1, "classes")).unwrap();
    let processes = [of(BlockReward::True), of(BlockReward::Random)];
    let config = DeepQConfig { discount: 0.5, ..config() };
    let linear = model("linear", 3);
    let found = run((&linear, "sgd"), &processes, 0.5, 6000, &config);
    for (member, process) in processes.iter().enumerate() {
        let off = off(&found, member, process, config.discount);
        assert!(off < 1e-3, "{member}: {off}");
    }
    let bins = TwoHot::even(0.1, 2.9, 8).unwrap();
    let values = ActionValues::Categories(bins);
    let config = DeepQConfig { values, ..config };
    let linear = model("linear", 24);
    let found = run((&linear, "adam"), &processes, 0.02, 6000, &config);
    for (member, process) in processes.iter().enumerate() {
        let off = off(&found, member, process, config.discount);
        assert!(off < 0.03, "{member}: {off}");
    }
}

#[test]
fn the_target_network_is_that_of_the_last_refresh() {
    let config = DeepQConfig { refresh: 30, ..config() };
    let linear = model("linear", 2);
    let at = |steps| run((&linear, "momentum"), &[steered()], 0.1, steps, &config).nets;
    // Parameters, momentum, target: two arrays each.
    let target = |nets: &DeepQNets| nets.members[0][4..6].to_vec();
    let own = |nets: &DeepQNets| nets.members[0][..2].to_vec();
    let (start, early, at_refresh, late) = (at(0), at(29), at(30), at(59));
    assert_eq!(target(&early), own(&start));
    assert_eq!(target(&at_refresh), own(&at_refresh));
    assert_eq!(target(&late), own(&at_refresh));
    assert_ne!(own(&late), own(&at_refresh));
}

#[test]
fn what_is_remembered_is_what_happened() {
    let process = steered();
    let linear = model("linear", 2);
    // More than the memory holds, so that its places have been used twice.
    let found = run((&linear, "sgd"), std::slice::from_ref(&process), 0.1, 437, &config());
    let arrays = &found.nets.members[0];
    let [here, from, action, reward, to] = &arrays[arrays.len() - 5..] else { panic!("memory") };
    let index = |array: &Array, i: usize| array.to_f64_vec()[i] as usize;
    let state = |row: usize| STATES[row];
    // 200 of the warm-up and 437 steps: the next place is 237.
    let newest = 236;
    assert_eq!(index(here, 0), index(to, newest));
    let mut explored = 0;
    for i in 0..400 {
        let (s, a, next) = (state(index(from, i)), index(action, i), state(index(to, i)));
        assert_eq!(process.next(s, a)[next], 1.0, "{i}");
        assert_eq!(reward.to_f64_vec()[i], process.rewards()[2 * s + a], "{i}");
        let follows = i != newest;
        assert!(!follows || index(to, i) == index(from, (i + 1) % 400), "{i}");
        explored += usize::from(a == 1);
    }
    assert!(explored > 20);
    assert_eq!(reward.to_f64_vec()[newest], *found.metrics[0].reward.last().unwrap());
    // Both images of a state are seen.
    for row in 0..6 {
        assert!((0..400).any(|i| index(from, i) == row), "{row}");
    }
}

#[test]
fn the_same_seed_has_the_same_bits_whoever_its_neighbours_are() {
    let processes = [steered(), steered()];
    let mlp = model("mlp hidden=8", 2);
    let both = run((&mlp, "adam"), &processes, 0.01, 230, &config());
    let again = run((&mlp, "adam"), &processes, 0.01, 230, &config());
    assert_eq!((&both.nets, &both.metrics), (&again.nets, &again.metrics));
    let alone = run((&mlp, "adam"), &processes[..1], 0.01, 230, &config());
    assert_eq!(alone.nets.members[0], both.nets.members[0]);
    assert_ne!(both.nets.members[0], both.nets.members[1]);
    // Steps may be taken in parts.
    let mut parts = run((&mlp, "adam"), &processes[..1], 0.01, 130, &config());
    let executor = Executor::new(1);
    let hyper = [BTreeMap::from([("lr", 0.01)])];
    parts.learning.steps(&Context::new(&executor, 0), &mut parts.nets, &hyper, 100).unwrap();
    assert_eq!(parts.nets, alone.nets);
    let weights = both.learning.weights(&both.nets, 1).unwrap();
    let mut replaced = both.nets.clone();
    both.learning.replace(&mut replaced, 0, &weights).unwrap();
    assert_eq!(both.learning.weights(&replaced, 0).unwrap(), weights);
    assert!(both.learning.replace(&mut replaced, 2, &weights).is_err());
    assert!(both.learning.weights(&both.nets, 2).is_err());
}

#[test]
fn what_does_not_fit_is_told() {
    let executor = Arc::new(Executor::new(1));
    let made = |model: &Model, optimizer: &str, config: DeepQConfig| {
        let optimizer = optimizer.parse::<Optimizer>().unwrap();
        DeepQLearning::new(executor.clone(), model, &optimizer, &images(), 2, config)
    };
    let message = |model: &Model, optimizer: &str, config: DeepQConfig| match made(
        model, optimizer, config,
    ) {
        Ok(_) => panic!("it is made"),
        Err(error) => error.to_string(),
    };
    let linear = model("linear", 2);
    let with = |change: fn(&mut DeepQConfig)| {
        let mut config = config();
        change(&mut config);
        message(&linear, "sgd", config)
    };
    assert_eq!(with(|c| c.discount = 1.0), "discount: expected a number from 0 to below 1, got 1");
    assert!(with(|c| c.exploration = -0.1).starts_with("exploration: expected a share"));
    assert!(with(|c| c.batch = 0).ends_with("got 0, 200, 400"));
    assert!(with(|c| c.capacity = 100).ends_with("got 32, 200, 100"));
    assert!(with(|c| c.refresh = 0).starts_with("steps from refresh to refresh"));
    assert!(message(&model("linear", 3), "sgd", config()).ends_with("got [3]"));
    assert!(message(&linear, "sam:shard=4", config()).contains("whole batches"));
    let batch = model("mlp hidden=4 norm=batch", 2);
    assert!(message(&batch, "sgd", config()).contains("without running statistics"));
    let learning = made(&linear, "sgd", config()).unwrap();
    assert!(learning.start(&[]).is_err());
    let weights = initialize(&linear, 0, DType::F64).unwrap();
    let process = BlockMdp::of_classes(&[0, 1], 2, BlockReward::True, &Stream::new(0, "x"));
    let process = process.unwrap();
    let member = DeepQMember { weights: &weights, process: &process, stream: Stream::new(0, "x") };
    let error = learning.start(&[member]).unwrap_err().to_string();
    assert_eq!(error, "a process: expected 6 examples, 2 actions, 2 states, got [2, 2, 2]");
    let mut nets = learning.start(&[DeepQMember { process: &steered(), ..member }]).unwrap();
    let ctx = Context::new(&executor, 0);
    assert!(learning.steps(&ctx, &mut nets, &[], 1).is_err());
    let hyper = [BTreeMap::from([("rate", 0.1)])];
    assert!(learning.steps(&ctx, &mut nets, &hyper, 1).is_err());
}

#[test]
fn until_a_refresh_goals_are_those_of_the_old_network() {
    let (process, linear) = (steered(), model("linear", 2));
    let executor = Arc::new(Executor::new(1));
    let ctx = Context::new(&executor, 0);
    let config = DeepQConfig { refresh: 100_000, ..config() };
    let discount = config.discount;
    let sgd = Optimizer::sgd();
    let learning =
        DeepQLearning::new(executor.clone(), &linear, &sgd, &images(), 2, config).unwrap();
    // Whatever is seen, the second action is worth three.
    let arrays = [Array::zeros(DType::F64, &[6, 2]), Array::vector(&[1.0, 3.0])];
    let parameters = linear.parameter_tree(arrays.to_vec()).unwrap();
    let weights = Weights { parameters, buffers: linear.initial_buffers(DType::F64) };
    let (process, weights) = (&process, &weights);
    let member = DeepQMember { weights, process, stream: Stream::new(0, "deep q") };
    let mut nets = learning.start(&[member]).unwrap();
    learning.steps(&ctx, &mut nets, &[BTreeMap::from([("lr", 0.5)])], 3000).unwrap();
    let found = learning.values(&ctx, &nets).unwrap()[0].to_f64_vec();
    for (i, value) in found.iter().enumerate() {
        let expected = process.rewards()[2 * STATES[i / 2] + i % 2] + discount * 3.0;
        assert!((value - expected).abs() < 1e-3, "{i}: {value} {expected}");
    }
}
