//! Zones and offsets, and any instant in them: days and hours contain it and follow one another.
#![no_main]

use aggregation::Timestamp;
use aggregation::local_time::Zone;
use aggregation::timestamp::{DAY_US, HOUR_US};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, i64, u16)| {
    let (text, any, index) = input;
    // Every zone that there is, or whatever the text says.
    let zone = match text.parse::<Zone>() {
        Ok(zone) => zone,
        Err(_) => {
            let all = chrono_tz_names();
            all[usize::from(index) % all.len()].parse().unwrap()
        }
    };
    assert_eq!(zone.to_string().parse::<Zone>(), Ok(zone), "a zone reads back");
    for at in [Timestamp(any), Timestamp(any % (4_000_000_000 * 1_000_000))] {
        let hour = zone.hour_of(at);
        let date = zone.date_of(at);
        if !at.is_datable() {
            continue;
        }
        assert!(hour.contains(at), "{at:?} {hour:?}");
        assert_eq!(hour.date, date);
        assert!(hour.end.since(hour.start) <= HOUR_US, "{hour:?}");
        let (start, end) = (zone.day_start(date), zone.day_end(date));
        assert!(start <= hour.start && hour.end <= end, "{hour:?} {start:?} {end:?}");
        assert!(end.since(start) <= 2 * DAY_US);
        assert_eq!(zone.hour_of(hour.start).start, hour.start);
        let before = zone.hour_of(hour.start.plus(-1));
        assert_eq!(before.end, hour.start, "hours follow one another");
    }
});

fn chrono_tz_names() -> [&'static str; 16] {
    [
        "Europe/Berlin",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "America/Havana",
        "Africa/Casablanca",
        "Antarctica/Troll",
        "Asia/Manila",
        "America/Juneau",
        "Africa/Monrovia",
        "Asia/Riyadh",
        "Europe/Amsterdam",
        "Pacific/Kwajalein",
        "America/Godthab",
    ]
}
