//! Flags of results: the position of a value relative to its reference range.

/// The flag of a result, by the codes of HL7 table 0078 (ObservationInterpretation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// `LL`: below the lower panic limit.
    CriticalLow,
    /// `L`: below the reference range.
    Low,
    /// `N`: within the reference range.
    Normal,
    /// `A`: abnormal, and neither the laboratory nor the range says in which direction.
    Abnormal,
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
            Self::Abnormal => "A",
            Self::High => "H",
            Self::CriticalHigh => "HH",
        }
    }

    /// The order of flags for the worst of a day: N below A, A below L and H, these below LL and
    /// HH.
    pub const fn severity(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::Abnormal => 1,
            Self::Low | Self::High => 2,
            Self::CriticalLow | Self::CriticalHigh => 3,
        }
    }
}

/// The laboratory's own flag of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnFlag {
    /// No flag, or one that says nothing about the reference range.
    Missing,
    /// A flag with a direction, or normal.
    Known(Flag),
    /// Abnormal, without a direction.
    Abnormal,
    /// Critically abnormal, without a direction.
    Critical,
    /// A text without a meaning here, so that the result cannot be called normal.
    Unknown,
}

impl OwnFlag {
    /// The longest flag. Longer texts are remarks.
    const LONGEST_BYTES: usize = 64;

    /// Reads the laboratory's own flag: the codes of HL7 table 0078 and of FHIR's
    /// ObservationInterpretation, and the words that are printed for them, in upper or lower case.
    ///
    /// Asterisks and brackets around it are ignored, so `H*` is H: the meaning of a star differs
    /// between laboratories, that of H does not. `HU` and `LU` (significantly high and low) are H
    /// and L, because HL7 keeps HH and LL for panic limits. `<` and `>` say that the value is off
    /// the instrument's scale, which says nothing about the range.
    ///
    /// Findings of another kind (`POS`, `NEG`, `DET`, `ND`, `R`, `I`, `S`, …), changes (`U`, `D`,
    /// `B`, `W`) and remarks are [`OwnFlag::Unknown`].
    pub(super) fn read(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default().trim();
        if text.is_empty() || text == "<" || text == ">" {
            return Self::Missing;
        }
        if text.len() > Self::LONGEST_BYTES {
            return Self::Unknown;
        }
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
            | "below lower panic limits"
            | "\u{2193}\u{2193}" => Self::Known(Flag::CriticalLow),
            "l" | "lu" | "l<" | "low" | "significantly low" | "below low normal" | "\u{2193}" => {
                Self::Known(Flag::Low)
            }
            "n" | "normal" | "wnl" | "within normal limits" => Self::Known(Flag::Normal),
            "h" | "hu" | "h>" | "high" | "significantly high" | "above high normal"
            | "\u{2191}" => Self::Known(Flag::High),
            "hh"
            | "critical high"
            | "critically high"
            | "high critical"
            | "panic high"
            | "high panic"
            | "above upper panic limits"
            | "\u{2191}\u{2191}" => Self::Known(Flag::CriticalHigh),
            "a" | "abnormal" => Self::Abnormal,
            "aa"
            | "critical"
            | "panic"
            | "critical abnormal"
            | "critically abnormal"
            | "very abnormal" => Self::Critical,
            _ => Self::Unknown,
        }
    }

    /// The flag of a result, given `from_range`, its flag by the reference range. A result that the
    /// laboratory flags with another text is never normal by its range.
    pub(super) fn or(self, from_range: Option<Flag>) -> Option<Flag> {
        let outside = from_range.filter(|flag| *flag != Flag::Normal);
        match (self, outside) {
            (Self::Missing, _) => from_range,
            (Self::Known(flag), _) => Some(flag),
            // In HL7 and FHIR, HH and LL are AA with a direction.
            (Self::Critical, Some(Flag::High)) => Some(Flag::CriticalHigh),
            (Self::Critical, Some(Flag::Low)) => Some(Flag::CriticalLow),
            (Self::Abnormal | Self::Critical, outside) => Some(outside.unwrap_or(Flag::Abnormal)),
            (Self::Unknown, outside) => outside,
        }
    }

    /// Whether the laboratory's flag contradicts the position of the result relative to the range.
    pub(super) fn contradicts(self, from_range: Option<Flag>) -> bool {
        match self {
            Self::Known(Flag::Low | Flag::CriticalLow) => from_range == Some(Flag::High),
            Self::Known(Flag::High | Flag::CriticalHigh) => from_range == Some(Flag::Low),
            Self::Known(Flag::Normal) => matches!(from_range, Some(Flag::Low | Flag::High)),
            _ => false,
        }
    }

    /// Whether the laboratory's flag confirms the position of the result: below, within or above
    /// the range.
    pub(super) fn agrees_with(self, from_range: Option<Flag>) -> bool {
        match self {
            Self::Known(Flag::Low | Flag::CriticalLow) => from_range == Some(Flag::Low),
            Self::Known(Flag::High | Flag::CriticalHigh) => from_range == Some(Flag::High),
            Self::Known(Flag::Normal) => from_range == Some(Flag::Normal),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> OwnFlag {
        OwnFlag::read(Some(text))
    }

    #[test]
    fn codes_and_words_are_read_whatever_the_case() {
        for (flag, spellings) in [
            (
                Flag::CriticalLow,
                ["LL", "critical low", "Critically-Low", "[ll]", "\u{2193}\u{2193}"],
            ),
            (Flag::Low, ["L", "low", " l ", "L*", "LU"]),
            (Flag::Normal, ["N", "normal", "NORMAL", "(n)", "WNL"]),
            (Flag::High, ["H", "High", "H*", "*h", "Significantly high"]),
            (Flag::CriticalHigh, ["HH", "hh", "critical  high", "HIGH_CRITICAL", "HH*"]),
        ] {
            for spelling in spellings {
                assert_eq!(read(spelling), OwnFlag::Known(flag), "{spelling}");
            }
            assert_eq!(read(flag.code()), OwnFlag::Known(flag));
        }
        for spelling in ["A", "a*", "Abnormal"] {
            assert_eq!(read(spelling), OwnFlag::Abnormal, "{spelling}");
        }
        for spelling in ["AA", "critical", "Critical abnormal", "PANIC"] {
            assert_eq!(read(spelling), OwnFlag::Critical, "{spelling}");
        }
    }

    #[test]
    fn a_flag_without_a_direction_takes_it_from_the_range_and_never_becomes_normal() {
        let flags = [None, Some(Flag::Normal), Some(Flag::Low), Some(Flag::High)];
        let codes = |text: &str| flags.map(|range| read(text).or(range).map_or("", Flag::code));
        assert_eq!(codes(""), ["", "N", "L", "H"]);
        assert_eq!(codes(">"), ["", "N", "L", "H"]);
        assert_eq!(codes("abnormal"), ["A", "A", "L", "H"]);
        assert_eq!(codes("AA"), ["A", "A", "LL", "HH"]);
        assert_eq!(codes("N"), ["N", "N", "N", "N"]);
        assert_eq!(codes("L"), ["L", "L", "L", "L"]);
        let remark = "x".repeat(100_000);
        for unknown in [
            "POS",
            "NEG",
            "DET",
            "ND",
            "IND",
            "R",
            "S",
            "I",
            "U",
            "D",
            "B",
            "W",
            "*",
            "-",
            "HHH",
            "highly",
            "h l",
            "see comment",
            &remark,
        ] {
            assert_eq!(codes(unknown), ["", "", "L", "H"]);
        }
    }

    #[test]
    fn critical_is_worse_than_out_of_range_and_that_than_abnormal_and_normal() {
        assert!(Flag::CriticalLow.severity() > Flag::High.severity());
        assert!(Flag::Low.severity() > Flag::Abnormal.severity());
        assert!(Flag::Abnormal.severity() > Flag::Normal.severity());
        assert_eq!(Flag::CriticalLow.severity(), Flag::CriticalHigh.severity());
        assert_eq!(Flag::Low.severity(), Flag::High.severity());
    }
}
