//! The stages of sleep, which are metrics.

/// The state of a person during a row of sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// `sleep_in_bed`: in bed, asleep or not.
    InBed,
    /// `sleep_asleep`: asleep, the stage is not known.
    Asleep,
    /// `sleep_awake`: awake between two periods of sleep, or in bed.
    Awake,
    /// `sleep_core`: N1 and N2; Health Connect calls it light.
    Core,
    /// `sleep_deep`: N3.
    Deep,
    /// `sleep_rem`: REM sleep.
    Rem,
}

impl Stage {
    /// Every stage, in the order of the variants.
    pub const ALL: [Self; 6] =
        [Self::InBed, Self::Asleep, Self::Awake, Self::Core, Self::Deep, Self::Rem];

    /// The metric's name in raw rows and in the catalogue.
    pub const fn metric(self) -> &'static str {
        match self {
            Self::InBed => "sleep_in_bed",
            Self::Asleep => "sleep_asleep",
            Self::Awake => "sleep_awake",
            Self::Core => "sleep_core",
            Self::Deep => "sleep_deep",
            Self::Rem => "sleep_rem",
        }
    }

    /// The stage that a metric's name means, without regard to the catalogue.
    pub fn from_metric(metric: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.metric() == metric)
    }

    /// Whether the person is asleep, in a known or unknown stage.
    pub(crate) const fn is_sleep(self) -> bool {
        matches!(self, Self::Asleep) || self.is_staged()
    }

    /// Whether the person is asleep in a known stage.
    pub(crate) const fn is_staged(self) -> bool {
        matches!(self, Self::Core | Self::Deep | Self::Rem)
    }
}
