//! Units of laboratory results.

use std::ops::RangeInclusive;

use aggregation::catalogue::Catalogue;

/// A result of a LOINC code in another unit, in the canonical one.
fn converted(code: &str, value: f64, unit: &str) -> f64 {
    let catalogue = Catalogue::built_in().unwrap();
    let analyte = catalogue.analytes().find(Some(code), "").unwrap();
    analyte.step_from(unit).unwrap().apply(value)
}

/// Hoelzel et al., Clin Chem 2004;50:166: NGSP = 0.09148 · IFCC + 2.152. The pairs are those of the
/// consensus on reporting both units (as Sacks et al., Diabetes Care 2011;34:e61 prints them).
#[test]
fn hba1c_in_percent_is_that_of_the_master_equation() {
    for (ifcc, ngsp) in [
        (31.0, 5.0),
        (42.0, 6.0),
        (48.0, 6.5),
        (53.0, 7.0),
        (64.0, 8.0),
        (75.0, 9.0),
        (86.0, 10.0),
        (97.0, 11.0),
        (108.0, 12.0),
    ] {
        let percent = converted("4548-4", ifcc, "mmol/mol");
        // Both columns are rounded: half a mmol/mol is 0.046 %.
        assert!((percent - ngsp).abs() < 0.046, "{ifcc} mmol/mol: {percent}");
        assert!((percent - (9148.0 * ifcc + 215_200.0) / 1e5).abs() < 1e-12);
    }
}

/// The grams of a mole by the atomic weights of IUPAC 2021 (abridged), compared with the factors of
/// the domain, which have three or four digits.
#[test]
fn factors_are_molar_masses() {
    const H: f64 = 1.008;
    const C: f64 = 12.011;
    const N: f64 = 14.007;
    const O: f64 = 15.999;
    let glucose = 6.0 * C + 12.0 * H + 6.0 * O;
    let cholesterol = 27.0 * C + 46.0 * H + O;
    // Triolein, C57H104O6, for triglycerides.
    let triolein = 57.0 * C + 104.0 * H + 6.0 * O;
    let creatinine = 4.0 * C + 7.0 * H + 3.0 * N + O;
    let bilirubin = 33.0 * C + 36.0 * H + 4.0 * N + 6.0 * O;
    let uric_acid = 5.0 * C + 4.0 * H + 4.0 * N + 3.0 * O;
    // A mole of urea has two moles of nitrogen.
    let urea_nitrogen = 2.0 * N;
    for (code, unit, mass) in [
        ("2345-7", "mmol/L", glucose),
        ("2093-3", "mmol/L", cholesterol),
        ("2571-8", "mmol/L", triolein),
        ("2160-0", "umol/L", creatinine / 1e3),
        ("1975-2", "umol/L", bilirubin / 1e3),
        ("3094-0", "mmol/L", urea_nitrogen),
        ("17861-6", "mmol/L", 40.078),
        ("3084-1", "umol/L", uric_acid / 1e3),
    ] {
        // g/mol equals mg/mmol; a tenth of it is the mg/dL of one mmol/L.
        let ours = converted(code, 1.0, unit) * 10.0;
        assert!((ours / mass - 1.0).abs() < 2e-3, "{code}: {ours} and {mass}");
    }
}

/// Pairs that guidelines print in both units: diabetes from 126 mg/dL, 7.0 mmol/L (ADA);
/// cholesterol from 200, 5.18, and triglycerides from 150, 1.69 (NCEP); uric acid from 6.8, 404
/// (ACR). Bilirubin 1 is 17.1, and total calcium 8.5 to 10.5 is 2.12 to 2.62.
#[test]
fn limits_that_guidelines_print_in_both_units_are_equal() {
    let within = |range: RangeInclusive<f64>, code, value, unit| {
        let found = converted(code, value, unit);
        assert!(range.contains(&found), "{code}: {found}");
    };
    within(125.5..=126.5, "2345-7", 7.0, "mmol/L");
    within(199.5..=200.5, "2093-3", 5.18, "mmol/L");
    within(149.5..=150.5, "2571-8", 1.69, "mmol/L");
    within(6.75..=6.85, "3084-1", 404.0, "umol/L");
    within(0.99..=1.01, "1975-2", 17.1, "umol/L");
    within(0.99..=1.01, "2160-0", 88.4, "umol/L");
    within(8.45..=8.55, "17861-6", 2.12, "mmol/L");
    within(10.45..=10.55, "17861-6", 2.62, "mmol/L");
    within(19.5..=20.5, "3094-0", 7.14, "mmol/L");
}
