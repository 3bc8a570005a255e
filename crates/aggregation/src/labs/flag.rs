//! Flags of results: how a value lies to its reference range.

/// The flag of a result, by the codes of HL7 table 0078 (ObservationInterpretation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// `LL`: below the lower panic limit.
    CriticalLow,
    /// `L`: below the reference range.
    Low,
    /// `N`: within the reference range.
    Normal,
    /// `H`: above the reference range.
    High,
    /// `HH`: above the upper panic limit.
    CriticalHigh,
}

impl Flag {
    /// The code as it is stored.
    pub const fn code(self) -> &'static str {
        match self {
            Self::CriticalLow => "LL",
            Self::Low => "L",
            Self::Normal => "N",
            Self::High => "H",
            Self::CriticalHigh => "HH",
        }
    }

    /// How much a day is marked by this flag: N below L and H, these below LL and HH.
    pub const fn severity(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::Low | Self::High => 1,
            Self::CriticalLow | Self::CriticalHigh => 2,
        }
    }

    /// Reads the laboratory's own flag: the codes, and the words that HL7 and FHIR print for
    /// them, whatever the case. Asterisks and brackets around it are ignored, so `H*` is H: what
    /// a star means differs between laboratories, that the value is high does not. `None` for
    /// flags that name no direction (`A`, `abnormal`) and for unknown ones.
    pub fn read(text: &str) -> Option<Self> {
        let bare = text.trim_matches(|c: char| c.is_whitespace() || "*()[]".contains(c));
        let words = bare.to_lowercase().replace(['-', '_'], " ");
        let words: Vec<&str> = words.split_whitespace().collect();
        match words.join(" ").as_str() {
            "ll"
            | "critical low"
            | "critically low"
            | "low critical"
            | "panic low"
            | "low panic"
            | "below lower panic limits" => Some(Self::CriticalLow),
            "l" | "low" | "below low normal" => Some(Self::Low),
            "n" | "normal" => Some(Self::Normal),
            "h" | "high" | "above high normal" => Some(Self::High),
            "hh"
            | "critical high"
            | "critically high"
            | "high critical"
            | "panic high"
            | "high panic"
            | "above upper panic limits" => Some(Self::CriticalHigh),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_words_are_read_whatever_the_case() {
        for (flag, spellings) in [
            (Flag::CriticalLow, ["LL", "critical low", "Critically-Low", "[ll]"]),
            (Flag::Low, ["L", "low", " l ", "L*"]),
            (Flag::Normal, ["N", "normal", "NORMAL", "(n)"]),
            (Flag::High, ["H", "High", "H*", "*h"]),
            (Flag::CriticalHigh, ["HH", "hh", "critical  high", "HIGH_CRITICAL"]),
        ] {
            for spelling in spellings {
                assert_eq!(Flag::read(spelling), Some(flag), "{spelling}");
            }
            assert_eq!(Flag::read(flag.code()), Some(flag));
        }
    }

    #[test]
    fn unknown_flags_and_those_without_a_direction_are_ignored() {
        for text in ["", " ", "A", "AA", "abnormal", "critical", "*", "<", "HHH", "highly", "h l"] {
            assert_eq!(Flag::read(text), None, "{text}");
        }
    }

    #[test]
    fn critical_is_worse_than_out_of_range_and_that_than_normal() {
        assert!(Flag::CriticalLow.severity() > Flag::High.severity());
        assert!(Flag::Low.severity() > Flag::Normal.severity());
        assert_eq!(Flag::CriticalLow.severity(), Flag::CriticalHigh.severity());
        assert_eq!(Flag::Low.severity(), Flag::High.severity());
    }
}
