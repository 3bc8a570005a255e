//! The published formulas for glucose in mg/dL.

/// Coefficient of variation in percent: 100 · SD / mean. `None` unless the mean is above 0.
pub fn coefficient_of_variation(mean: f64, stddev: f64) -> Option<f64> {
    (mean > 0.0).then(|| 100.0 * stddev / mean)
}

/// Glucose management indicator, the expected HbA1c in percent (NGSP) for a mean sensor glucose:
/// 3.31 + 0.02392 · mean (Bergenstal et al., Diabetes Care 2018;41:2275).
pub fn glucose_management_indicator(mean: f64) -> f64 {
    3.31 + 0.02392 * mean
}

/// Estimated HbA1c in percent (NGSP): (46.7 + mean) / 28.7. This is the regression of the study of
/// A1c-derived average glucose, 28.7 · A1c − 46.7, solved for A1c (Nathan et al., Diabetes Care
/// 2008;31:1473).
pub fn estimated_a1c(mean: f64) -> f64 {
    (46.7 + mean) / 28.7
}

/// J-index, a combined figure of the level and the spread of glucose: 0.001 · (mean + SD)²
/// (Wójcicki, Horm Metab Res 1995;27:41).
pub fn j_index(mean: f64, stddev: f64) -> f64 {
    0.001 * (mean + stddev).powi(2)
}

/// Glycemia risk index, from 0 to 100: 3.0 · VLow + 2.4 · Low + 1.6 · VHigh + 0.8 · High. The terms
/// are the percents of readings in the disjoint bands below 54, from 54 to below 70, above 250, and
/// above 180 up to 250 mg/dL. Results above 100 are given as 100 (Klonoff et al., J Diabetes Sci
/// Technol 2023;17:1226).
pub fn glycemia_risk_index(very_low: f64, low: f64, very_high: f64, high: f64) -> f64 {
    (3.0 * very_low + 2.4 * low + 1.6 * very_high + 0.8 * high).min(100.0)
}
