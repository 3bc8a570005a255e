//! Hostile texts, numbers and times, the same ones for the same seed.

/// Is part of every text that is not blank, so that a leak can be found anywhere.
pub const MARK: &str = "zqx";

/// Are part of every number that is not an extreme.
pub const MARKED_DIGITS: &str = "7713371337";

/// Random numbers (SplitMix64, Steele et al. 2014).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, number: usize) -> usize {
        (self.bits() % number as u64) as usize
    }

    /// True once in this many times.
    pub fn seldom(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    /// Text that no column expects.
    pub fn text(&mut self) -> String {
        const TEXTS: [&str; 20] = [
            "zqx'; DROP TABLE vitals_raw; --",
            "zqx'); DELETE FROM user_profiles; SELECT ('",
            "$1 {} {0} %s %n zqx \\",
            "zqx\u{202e}مرحبا\u{2066}שלום",
            "zqxe\u{301}\u{300}\u{316}\u{489}\u{20dd}",
            "zqx𝕏🧬👩\u{200d}👩\u{200d}👧\u{10ffff}",
            "\u{200b}\u{feff}\u{2060}zqx\u{ad}\u{180e}",
            "zqx\u{1}\u{7f}\t\r\n\u{b}\u{1b}[31m\u{85}\u{2028}",
            "\"zqx\" $$ $zqx$ /* -- */ \\x00 \\N",
            "{\"zqx\": [1, null]}",
            "ＺＱＸzqxİıßſ",
            "zqx\u{fffe}\u{fffd}\u{e000}",
            "-zqx",
            "<zqx",
            "../../zqx\\..\\con",
            "zqx,\"zqx\",,\r\n",
            "zqx\u{3000}\u{a0}\u{2003}",
            "1e400zqx",
            "null::zqx",
            "zqx|zqx||zqx",
        ];
        if self.seldom(200) {
            return self.pick(&["zqx", "zqx🧬", "-zqx"]).repeat(34_000);
        }
        if self.seldom(12) {
            // 3 kB that do not compress, too long for any index.
            return (0..250).map(|_| format!("zqx{:x}", self.bits() >> 32)).collect();
        }
        self.pick(&TEXTS).to_owned()
    }

    /// Text of which blank and NULL-like ones are some.
    pub fn any_text(&mut self) -> String {
        if self.seldom(6) {
            self.pick(&["", " ", "\t\u{a0}", "NULL"]).to_owned()
        } else {
            self.text()
        }
    }

    /// One of the texts that a column expects, mostly.
    pub fn nearly(&mut self, expected: &[&str]) -> String {
        if self.seldom(5) { self.any_text() } else { self.pick(expected).to_owned() }
    }

    pub fn zone(&mut self) -> Option<String> {
        const ZONES: [&str; 22] = [
            "+99:99",
            "+14:01",
            "-24:00",
            "+5:30",
            "+0530",
            "UTC+3",
            "europe/berlin",
            "Europe/Berlin\n",
            " Europe/Berlin",
            "\u{202e}+05:30",
            "+٠٥:٣٠",
            "+05:3０",
            "\u{2212}05:00",
            "z",
            "+14:00",
            "-14:00",
            "-00:00",
            "Z",
            "Etc/GMT+12",
            "Asia/Kolkata",
            "Pacific/Apia",
            "Africa/Casablanca",
        ];
        match self.below(8) {
            0..=3 => None,
            4 => Some(self.any_text()),
            _ => Some(self.pick(&ZONES).to_owned()),
        }
    }

    /// Any double that there is, seldom one of use.
    pub fn number(&mut self) -> f64 {
        const ENDS: [f64; 16] = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            -0.0,
            5e-324,
            -5e-324,
            f64::MIN_POSITIVE,
            f64::MAX,
            f64::MIN,
            f64::EPSILON,
            1e6,
            1e6 + 1e-9,
            -1.0,
            1e-170,
            9_007_199_254_740_993.0,
        ];
        match self.below(4) {
            0 => self.pick(&ENDS),
            1 => f64::from_bits(self.bits()),
            2 => self.pick(&[7.713_371_337, 771.337_133_7, -77_133.713_37]),
            _ => 77.133_713_37 + self.below(60) as f64,
        }
    }

    /// An instant as PostgreSQL reads it.
    pub fn instant(&mut self) -> String {
        const ENDS: [&str; 16] = [
            "infinity",
            "-infinity",
            "4714-11-24 00:00:00+00 BC",
            "0044-03-15 12:00+00 BC",
            "0001-12-31 23:59:59.999999+00 BC",
            "0001-01-01 00:00+00",
            "0001-01-01 00:00:00.000001+14",
            "1582-10-10 00:00+00",
            "1883-11-18 12:03:58-05",
            "1900-02-29 00:00+00",
            "9999-12-30 23:59:59.999999+00",
            "9999-12-31 00:00+00",
            "9999-12-31 23:59:59.999999+00",
            "10000-01-01 00:00+00",
            "294276-12-31 23:59:59.999999+00",
            "1970-01-01 00:00+00",
        ];
        if self.seldom(6) {
            // The Gregorian calendar had no 29th of February in 1900, PostgreSQL says so.
            return self.pick(&ENDS).replace("1900-02-29", "1900-03-01").to_owned();
        }
        let (day, hour, micros) = (1 + self.below(4), self.below(24), self.below(3_600_000_000));
        let (minute, second) = (micros / 60_000_000, micros % 60_000_000);
        format!(
            "2024-05-{day:02} {hour:02}:{minute:02}:{:02}.{:06}+00",
            second / 1_000_000,
            second % 1_000_000
        )
    }
}
