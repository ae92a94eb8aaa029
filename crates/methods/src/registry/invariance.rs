//! What an instrument does not see.

/// A change of weights, coordinates or loss.
///
/// Those of weights leave the function that the network computes as it is. An instrument whose
/// reading one of them changes tells apart networks that are the same; one that it does not change
/// may be compared between them. Where a reading has a standard error, unchanged means within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invariance {
    /// The order of the units of a hidden layer.
    Permutation,
    /// A layer times `a > 0` and the next one by `a`, which a ReLU between them lets pass.
    ///
    /// # Source    Dinh, Pascanu, Bengio, Bengio, Sharp minima can generalize for deep nets, 2017,
    /// arXiv 1703.04933
    LayerRescaling,
    /// A hidden unit's incoming weights times `a > 0` and its outgoing ones by `a`, for each unit
    /// another `a`.
    ///
    /// # Source    Neyshabur, Salakhutdinov, Srebro, Path-SGD, 2015, arXiv 1506.02617
    UnitRescaling,
    /// A filter times `a > 0` before a normalisation, which takes it out again.
    NormalizedFilters,
    /// Other orthonormal coordinates of weight space.
    Rotation,
    /// Any other linear coordinates of weight space.
    LinearCoordinates,
    /// The loss times `a > 0`.
    LossScale,
}

impl Invariance {
    /// Every one.
    pub const ALL: [Invariance; 7] = [
        Invariance::Permutation,
        Invariance::LayerRescaling,
        Invariance::UnitRescaling,
        Invariance::NormalizedFilters,
        Invariance::Rotation,
        Invariance::LinearCoordinates,
        Invariance::LossScale,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Invariance::Permutation => "order of hidden units",
            Invariance::LayerRescaling => "rescaled layers",
            Invariance::UnitRescaling => "rescaled hidden units",
            Invariance::NormalizedFilters => "rescaled filters before a normalisation",
            Invariance::Rotation => "rotated weight space",
            Invariance::LinearCoordinates => "any linear coordinates of weight space",
            Invariance::LossScale => "scale of the loss",
        }
    }
}
