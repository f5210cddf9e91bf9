//! A cgroup's sample as incidents have it, and back.

use std::time::Duration;

use crate::observe::cgroup_files::{Events, Sample, Stat};
use crate::observe::parse::Limit;
use crate::report::incident::schema::{CgroupSample, CgroupStat};

/// For the recorder, which knows the time.
pub fn written(sample: &Sample) -> CgroupSample {
    let Sample { t: _, current, high, max, swap_max, swap_current, events, full_total_us, stat, over_high_tasks: _ } =
        sample;
    CgroupSample {
        t_ms: 0,
        current_bytes: *current,
        swap_bytes: *swap_current,
        high_bytes: high.bytes(),
        max_bytes: max.bytes(),
        swap_max_bytes: swap_max.bytes(),
        stalled_us: *full_total_us,
        high_events: events.high,
        max_events: events.max,
        oom_events: events.oom,
        oom_kills: events.oom_kill,
        stat: stat.map(|stat| CgroupStat {
            anon_bytes: stat.anon,
            file_bytes: stat.file_lru,
            pgsteal: stat.pgsteal,
            refault_anon: stat.refault_anon,
            refault_file: stat.refault_file,
            restore_file: stat.restore_file,
        }),
    }
}

/// For the livelock rules, on the recording's clock.
pub fn read(sample: &CgroupSample) -> Sample {
    let limit = |bytes: Option<u64>| bytes.map_or(Limit::Max, Limit::Bytes);
    Sample {
        t: Duration::from_millis(sample.t_ms),
        current: sample.current_bytes,
        high: limit(sample.high_bytes),
        max: limit(sample.max_bytes),
        swap_max: limit(sample.swap_max_bytes),
        swap_current: sample.swap_bytes,
        events: Events {
            high: sample.high_events,
            max: sample.max_events,
            oom: sample.oom_events,
            oom_kill: sample.oom_kills,
        },
        full_total_us: sample.stalled_us,
        stat: sample.stat.map(|stat| Stat {
            anon: stat.anon_bytes,
            file_lru: stat.file_bytes,
            pgsteal: stat.pgsteal,
            refault_anon: stat.refault_anon,
            refault_file: stat.refault_file,
            restore_file: stat.restore_file,
        }),
        over_high_tasks: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let sample = Sample {
            t: Duration::ZERO,
            current: 1,
            high: Limit::Bytes(2),
            max: Limit::Bytes(3),
            swap_max: Limit::Max,
            swap_current: 4,
            events: Events { high: 5, max: 6, oom: 7, oom_kill: 8 },
            full_total_us: 9,
            stat: Some(Stat {
                anon: 10,
                file_lru: 11,
                pgsteal: 12,
                refault_anon: 13,
                refault_file: 14,
                restore_file: 15,
            }),
            over_high_tasks: None,
        };
        assert_eq!(read(&written(&sample)), sample);
        let bare = Sample { high: Limit::Max, max: Limit::Max, swap_max: Limit::Bytes(0), stat: None, ..sample };
        assert_eq!(read(&written(&bare)), bare);
    }
}
