//! Turns raw rows into segments: times in one stage, by source.

use super::{Rows, Stage};
use crate::Timestamp;
use crate::local_time::Zone;
use crate::raw::{Context, judge_all as judge_metric};

/// A time that a source recorded as one stage; its length is above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Segment<'row> {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) stage: Stage,
    pub(super) source: &'row str,
    pub(super) zone: Zone,
}

/// The rows of one user after judging.
#[derive(Debug)]
pub(super) struct Judged<'row> {
    /// Accepted segments in a total order: start, end, stage, source.
    pub(super) segments: Vec<Segment<'row>>,
    /// Start and zone of each rejected row that can be dated.
    pub(super) rejected: Vec<(Timestamp, Zone)>,
}

/// Judges rows like those of other vitals, and removes repeated rows and rows without length.
pub(super) fn judge_all<'row>(context: &Context<'_>, rows: &'row Rows) -> Judged<'row> {
    let mut zones = crate::zones::Zones::new(context.base_zone);
    let mut judged = Judged { segments: Vec::new(), rejected: Vec::new() };
    for (stage, rows) in rows {
        let Some(metric) = context.catalogue.metric(stage.metric()) else { continue };
        if context.catalogue.stage(stage.metric()).is_none() {
            continue;
        }
        let of_stage = judge_metric(rows, metric, &mut zones);
        let segments = of_stage.samples.into_iter().map(|sample| Segment {
            start: sample.row.started_at,
            end: sample.row.ended_at,
            stage: *stage,
            source: &sample.row.source,
            zone: sample.zone,
        });
        judged.segments.extend(segments.filter(|segment| segment.start < segment.end));
        judged.rejected.extend(of_stage.rejected);
    }
    judged.segments.sort_by_key(|s| (s.start, s.end, s.stage, s.source));
    judged
}
