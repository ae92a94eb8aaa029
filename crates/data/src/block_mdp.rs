//! Decision processes of a few states that are seen as images.

use crate::{DataError, Relabel, Rows, Stream};

/// What is rewarded in a process whose states are the classes of examples.
///
/// # Source    Lyle et al., Understanding plasticity in neural networks, 2023, arXiv 2303.01486,
/// section 3.2
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockReward {
    /// Naming the class: 1 if the action is the state.
    True,
    /// The same of labels that are drawn anew once, so that a state has nothing that its images
    /// share and each of them has to be learned by heart.
    Random,
    /// Naming the last class: 1 if state and action are the last ones.
    Sparse,
}

/// A Markov decision process of which an agent sees no state, but an example that belongs to it.
///
/// In state `s` any example of `s` is seen, each as likely. An action `a` gives the reward `r(s,
/// a)`, and the next state is drawn from `p(. | s, a)`. There is no end.
///
/// # Source    Du, Krishnamurthy, Jiang, Agarwal, Dudik, Langford, Provably efficient RL with rich
/// observations via latent state decoding, 2019, arXiv 1901.09018
///
/// # Example
/// ```
/// use thalweg_data::{BlockMdp, BlockReward, Stream};
/// let labels = [0, 1, 2, 1, 0];
/// let process = BlockMdp::of_classes(&labels, 3, BlockReward::True, &Stream::new(0, "mdp"))?;
/// assert_eq!((process.states(), process.actions(), process.rows(1)), (3, 3, &[1, 3][..]));
/// // Every state is worth one reward a step, half as much each step later.
/// let values = process.optimal_values(0.5)?;
/// assert!((values[0] - 2.0).abs() < 1e-12 && (values[1] - 1.0).abs() < 1e-12);
/// # Ok::<(), thalweg_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BlockMdp {
    states: usize,
    actions: usize,
    /// `[s * actions + a]`.
    rewards: Vec<f64>,
    /// `[(s * actions + a) * states + next]`, or one list `[next]` for all.
    transitions: Vec<f64>,
    /// The rows of the examples of each state.
    rows: Vec<Vec<usize>>,
}

impl BlockMdp {
    /// A process over examples whose states are given: rewards `[state][action]`, and the
    /// probability of each next state, `[state][action][next]`.
    ///
    /// # Errors
    /// No states or actions, lists of different lengths, a reward that is not finite, probabilities
    /// that are negative or do not sum to one, a state that there is not, or one without an example.
    pub fn new(
        state_of: &[usize],
        rewards: &[Vec<f64>],
        transitions: &[Vec<Vec<f64>>],
    ) -> Result<BlockMdp, DataError> {
        let states = rewards.len();
        let actions = rewards.first().map_or(0, Vec::len);
        let range = |what, expected: String, got: String| DataError::Range { what, expected, got };
        if actions == 0 || rewards.iter().any(|of| of.len() != actions) {
            let expected = "as many for each state, at least one".to_owned();
            let counts: Vec<String> = rewards.iter().map(|of| of.len().to_string()).collect();
            let got = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
            return Err(range("number of actions", expected, got));
        }
        let shaped = transitions.len() == states
            && transitions.iter().all(|of| of.len() == actions)
            && transitions.iter().flatten().all(|next| next.len() == states);
        if !shaped {
            let expected = format!("{states} for each of {states} states and {actions} actions");
            let got = transitions.iter().flatten().map(Vec::len).sum::<usize>();
            return Err(range("number of probabilities", expected, got.to_string()));
        }
        for next in transitions.iter().flatten() {
            let sum: f64 = next.iter().sum();
            if !(next.iter().all(|p| *p >= 0.0) && (sum - 1.0).abs() < 1e-9) {
                let expected = "of 0 and more that sum to 1".to_owned();
                return Err(range("a list of probabilities", expected, format!("{next:?}")));
            }
        }
        if let Some(bad) = rewards.iter().flatten().find(|reward| !reward.is_finite()) {
            return Err(range("a reward", "a finite number".to_owned(), bad.to_string()));
        }
        let rows = rows_of(state_of, states)?;
        let (rewards, transitions) = (rewards.concat(), transitions.concat().concat());
        Ok(BlockMdp { states, actions, rewards, transitions, rows })
    }

    /// The process whose states are the classes of examples, with an action for each class: whatever
    /// is done, the next state is any, each as likely. Labels that are drawn come from the stream.
    ///
    /// # Errors
    /// No classes, a label that is none, a class without an example.
    pub fn of_classes(
        labels: &[usize],
        classes: usize,
        reward: BlockReward,
        stream: &Stream,
    ) -> Result<BlockMdp, DataError> {
        if classes == 0 {
            let (expected, got) = ("at least 1".to_owned(), "0".to_owned());
            return Err(DataError::Range { what: "number of classes", expected, got });
        }
        let relabel = match reward {
            BlockReward::Random => Relabel::Random,
            BlockReward::True | BlockReward::Sparse => Relabel::True,
        };
        // Every class has an example, so that their number is no larger than the data.
        let rows = rows_of(&relabel.labels(labels, classes, stream, 0), classes)?;
        let mut rewards = vec![0.0; classes * classes];
        let rewarded = match reward {
            BlockReward::True | BlockReward::Random => 0..classes,
            BlockReward::Sparse => classes - 1..classes,
        };
        rewarded.for_each(|class| rewards[class * classes + class] = 1.0);
        let transitions = vec![1.0 / classes as f64; classes];
        Ok(BlockMdp { states: classes, actions: classes, rewards, transitions, rows })
    }

    /// Number of states.
    pub fn states(&self) -> usize {
        self.states
    }

    /// Number of actions.
    pub fn actions(&self) -> usize {
        self.actions
    }

    /// The rewards, `[state * actions + action]`.
    pub fn rewards(&self) -> &[f64] {
        &self.rewards
    }

    /// The probability of each next state; empty for a state or an action that there is not.
    pub fn next(&self, state: usize, action: usize) -> &[f64] {
        if state >= self.states || action >= self.actions {
            return &[];
        }
        let one_for_all = self.transitions.len() == self.states;
        let list = if one_for_all { 0 } else { state * self.actions + action };
        let first = list * self.states;
        self.transitions.get(first..first + self.states).unwrap_or_default()
    }

    /// The examples of a state; none of one that there is not.
    pub fn rows(&self, state: usize) -> &[usize] {
        self.rows.get(state).map_or(&[], Vec::as_slice)
    }

    /// What each action is worth in each state to who always does the best: the solution of
    /// Bellman's equation
    ///
    /// `Q(s, a) = r(s, a) + discount sum over t of p(t | s, a) max over b of Q(t, b)`,
    ///
    /// `[state * actions + action]`, by iteration over policies, each solved exactly.
    ///
    /// # Errors
    /// A discount that is not from 0 to below 1.
    /// # Source    Howard, Dynamic programming and Markov processes, 1960
    pub fn optimal_values(&self, discount: f64) -> Result<Vec<f64>, DataError> {
        if !(0.0..1.0).contains(&discount) {
            let expected = "a number from 0 to below 1".to_owned();
            return Err(DataError::Range { what: "discount", expected, got: discount.to_string() });
        }
        let mut policy = vec![0; self.states];
        // Far fewer are needed; rounding alone could go on among policies that are as good.
        let mut left = 64 * self.states * self.actions;
        loop {
            let worth = self.worth_of(&policy, discount);
            let values: Vec<f64> = (0..self.states * self.actions)
                .map(|place| {
                    let next = self.next(place / self.actions, place % self.actions);
                    let later: f64 = next.iter().zip(&worth).map(|(p, worth)| p * worth).sum();
                    self.rewards[place] + discount * later
                })
                .collect();
            let better = |state: usize| {
                let own = &values[state * self.actions..(state + 1) * self.actions];
                let mut best = policy[state];
                for (action, &value) in own.iter().enumerate() {
                    // By more than rounding, so that no policy comes back.
                    if value > own[best] + 1e-10 * own[best].abs().max(1.0) {
                        best = action;
                    }
                }
                best
            };
            let next: Vec<usize> = (0..self.states).map(better).collect();
            if next == policy || left == 0 {
                return Ok(values);
            }
            policy = next;
            left -= 1;
        }
    }

    /// What each state is worth under a policy: `(I - discount P) v = r`.
    fn worth_of(&self, policy: &[usize], discount: f64) -> Vec<f64> {
        let n = self.states;
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
        for (state, &action) in policy.iter().enumerate() {
            let next = self.next(state, action);
            let mut row: Vec<f64> = next.iter().map(|p| -discount * p).collect();
            row[state] += 1.0;
            row.push(self.rewards[state * self.actions + action]);
            rows.push(row);
        }
        // The diagonal outweighs the rest of each row, so that no rows need to change places.
        for k in 0..n {
            let (done, rest) = rows.split_at_mut(k + 1);
            let pivot = &done[k];
            for row in rest {
                let factor = row[k] / pivot[k];
                row[k..].iter_mut().zip(&pivot[k..]).for_each(|(x, p)| *x -= factor * p);
            }
        }
        let mut worth = vec![0.0; n];
        for k in (0..n).rev() {
            let known: f64 = (k + 1..n).map(|j| rows[k][j] * worth[j]).sum();
            worth[k] = (rows[k][n] - known) / rows[k][k];
        }
        worth
    }
}

/// The rows of each state.
fn rows_of(state_of: &[usize], states: usize) -> Result<Vec<Vec<usize>>, DataError> {
    if let Some(first) = state_of.iter().position(|&state| state >= states) {
        let faulty = (0..state_of.len()).filter(|&row| state_of[row] >= states);
        let (rows, label): (Rows, i64) = (faulty.collect(), state_of[first] as i64);
        return Err(DataError::Label { row: first, rows, label, n_classes: states });
    }
    let mut counts = vec![0usize; states.min(state_of.len() + 1)];
    for &state in state_of {
        if let Some(count) = counts.get_mut(state) {
            *count += 1;
        }
    }
    if let Some(missing) = counts.iter().position(|&count| count == 0) {
        return Err(DataError::TooFew { class: missing, asked: 1, have: 0 });
    }
    let mut rows = vec![Vec::new(); states];
    state_of.iter().enumerate().for_each(|(row, &state)| rows[state].push(row));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_processes_of_classes_by_hand() {
        let (labels, stream) = ([0, 1, 2, 2, 1, 0, 3], Stream::new(2, "mdp"));
        let of = |reward| BlockMdp::of_classes(&labels, 4, reward, &stream).unwrap();
        let discount = 0.75;
        let values = of(BlockReward::True).optimal_values(discount).unwrap();
        // Each state is worth 1 / (1 - discount) = 4.
        for (place, value) in values.iter().enumerate() {
            let expected = f64::from(u8::from(place / 4 == place % 4)) + discount * 4.0;
            assert!((value - expected).abs() < 1e-12, "{values:?}");
        }
        // A reward of one in one state of four: on average 1/4 a step.
        let values = of(BlockReward::Sparse).optimal_values(discount).unwrap();
        for (place, value) in values.iter().enumerate() {
            let expected = f64::from(u8::from(place == 15)) + discount * 0.25 * 4.0;
            assert!((value - expected).abs() < 1e-12, "{values:?}");
        }
        assert_eq!(of(BlockReward::True).rows(2), [2, 3]);
        assert_eq!(of(BlockReward::True).next(1, 2), [0.25; 4]);
    }

    #[test]
    fn labels_that_are_drawn_are_those_of_the_stream_and_no_class_is_empty() {
        let labels: Vec<usize> = (0..60).map(|i| i % 3).collect();
        let of = |seed| {
            let stream = Stream::new(seed, "mdp");
            BlockMdp::of_classes(&labels, 3, BlockReward::Random, &stream).unwrap()
        };
        assert_eq!(of(4), of(4));
        let drawn = Relabel::Random.labels(&labels, 3, &Stream::new(4, "mdp"), 0);
        for state in 0..3 {
            assert!(of(4).rows(state).iter().all(|&row| drawn[row] == state));
            assert!(of(4).rows(state).iter().any(|&row| labels[row] != state));
            assert_ne!(of(4).rows(state), of(5).rows(state));
        }
        // Of two examples one class at least has none.
        let few = BlockMdp::of_classes(&[0, 1], 3, BlockReward::True, &Stream::new(0, "mdp"));
        let message = few.unwrap_err().to_string();
        assert_eq!(message, "class 2 has 0 examples, expected at least 1");
    }

    /// Probabilities that depend on state and action.
    fn drawn_process(seed: u64) -> BlockMdp {
        let (states, actions) = (5, 3);
        let stream = Stream::new(seed, "process");
        let reward = |s: u64, a: u64| stream.child("rewards").at(s).normal(a);
        let next = |s: u64, a: u64| {
            let draws = stream.child("next").at(s).at(a);
            let weights: Vec<f64> = (0..states).map(|t| draws.uniform(t).powi(4)).collect();
            let sum: f64 = weights.iter().sum();
            weights.iter().map(|w| w / sum).collect::<Vec<f64>>()
        };
        let rewards: Vec<Vec<f64>> =
            (0..states).map(|s| (0..actions).map(|a| reward(s, a)).collect()).collect();
        let transitions: Vec<Vec<Vec<f64>>> =
            (0..states).map(|s| (0..actions).map(|a| next(s, a)).collect()).collect();
        BlockMdp::new(&[0, 1, 2, 3, 4], &rewards, &transitions).unwrap()
    }

    #[test]
    fn values_are_the_limit_of_backups() {
        for seed in 0..5 {
            let (process, discount) = (drawn_process(seed), 0.9);
            let mut values = vec![0.0f64; 15];
            for _ in 0..400 {
                let best: Vec<f64> = values
                    .chunks(3)
                    .map(|own| own.iter().copied().fold(f64::NEG_INFINITY, f64::max))
                    .collect();
                values = (0..15)
                    .map(|place| {
                        let next = process.next(place / 3, place % 3).iter().zip(&best);
                        process.rewards()[place] + discount * next.map(|(p, v)| p * v).sum::<f64>()
                    })
                    .collect();
            }
            let found = process.optimal_values(discount).unwrap();
            for (found, expected) in found.iter().zip(&values) {
                assert!((found - expected).abs() < 1e-9, "{found} {expected}");
            }
        }
    }

    #[test]
    fn what_is_no_process_is_told() {
        let sure = vec![vec![vec![1.0, 0.0]; 1]; 2];
        let rewards = vec![vec![0.0], vec![1.0]];
        let message = |states: &[usize], rewards: &[Vec<f64>], next: &[Vec<Vec<f64>>]| {
            BlockMdp::new(states, rewards, next).unwrap_err().to_string()
        };
        assert!(BlockMdp::new(&[0, 1], &rewards, &sure).is_ok());
        assert!(
            message(&[0, 2, 1, 3], &rewards, &sure).starts_with("labels: row 1 is 2, expected")
        );
        assert_eq!(message(&[0], &rewards, &sure), "class 1 has 0 examples, expected at least 1");
        assert_eq!(
            message(&[0, 1], &[vec![0.0], vec![]], &sure),
            "number of actions is 1, 0, expected as many for each state, at least one"
        );
        assert!(message(&[0, 1], &[], &[]).starts_with("number of actions"));
        assert!(
            message(&[0, 1], &[vec![0.0], vec![f64::NAN]], &sure).starts_with("a reward is NaN")
        );
        assert!(message(&[0, 1], &rewards, &sure[..1]).contains("2 for each of 2 states"));
        let lost = vec![vec![vec![0.5, 0.4]; 1]; 2];
        assert!(message(&[0, 1], &rewards, &lost).starts_with("a list of probabilities is [0.5"));
        let process = BlockMdp::new(&[0, 1], &rewards, &sure).unwrap();
        assert!(process.optimal_values(1.0).is_err() && process.optimal_values(f64::NAN).is_err());
        assert!(process.rows(2).is_empty() && process.next(0, 1).is_empty());
        assert!(process.next(2, 0).is_empty());
    }
}
