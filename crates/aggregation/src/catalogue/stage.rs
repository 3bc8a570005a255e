//! The stages of sleep, which are metrics.

/// What a row of sleep says of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// `sleep_in_bed`: in bed, asleep or not.
    InBed,
    /// `sleep_asleep`: asleep, in which stage is not known.
    Asleep,
    /// `sleep_awake`: awake between two times of sleep, or in bed.
    Awake,
    /// `sleep_core`: N1 and N2; Health Connect calls it light.
    Core,
    /// `sleep_deep`: N3.
    Deep,
    /// `sleep_rem`: REM sleep.
    Rem,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 6] =
        [Self::InBed, Self::Asleep, Self::Awake, Self::Core, Self::Deep, Self::Rem];

    /// The metric in raw rows and in the catalogue.
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

    /// The stage that a metric stands for, whatever a catalogue says of it.
    pub fn from_metric(metric: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.metric() == metric)
    }

    /// Whether the person sleeps.
    pub(crate) const fn is_sleep(self) -> bool {
        matches!(self, Self::Asleep) || self.is_staged()
    }

    /// Whether the person is in a known stage of sleep.
    pub(crate) const fn is_staged(self) -> bool {
        matches!(self, Self::Core | Self::Deep | Self::Rem)
    }
}
