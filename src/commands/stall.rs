//! How a stuck cgroup is told of.

use std::fmt;

use crate::decide::livelock::{Kind, Stall};
use crate::report::Size;

/// The evidence: `81 % of the last 10 s stalled, 6.4 % above memory.high 12.0 GiB, nothing reclaimed`.
pub fn evidence(stall: &Stall) -> impl fmt::Display {
    let stall = *stall;
    fmt::from_fn(move |f| {
        let (percent, seconds) = (stall.stalled * 100.0, stall.window.as_secs_f64());
        write!(f, "{percent:.0} % of the last {seconds:.0} s stalled")?;
        let Some(limit) = stall.limit else {
            let lasting = stall.seen.saturating_sub(stall.since).as_secs_f64();
            return match stall.kind {
                Kind::SwapThrash => {
                    if let Some(programs) = stall.programs {
                        write!(f, ", programs got {:.0} % of the processors' work", programs * 100.0)?;
                    }
                    f.write_str(", memory is swapped out and in all the time")
                }
                _ => write!(f, ", as much for {lasting:.0} s"),
            };
        };
        let (file, limit) = (limit.file(), Size(limit.bytes()));
        match stall.kind {
            Kind::Throttled => {
                let above = (stall.fill - 1.0) * 100.0;
                write!(f, ", {above:.1} % above {file} {limit}, nothing reclaimed")
            }
            Kind::Squeezed => write!(f, " at {file} {limit}, its page cache squeezed out"),
            Kind::Thrash => write!(f, " at {file} {limit}, its own files reclaimed and read again"),
            Kind::SwapThrash => write!(f, " at {file} {limit}, its own memory swapped out and in"),
            Kind::Pressure => {
                write!(f, ", as much for {:.0} s", stall.seen.saturating_sub(stall.since).as_secs_f64())?;
                write!(f, "; its {file} is {limit}")
            }
            Kind::OomStuck => write!(f, " at {file} {limit}: every task there has oom_score_adj -1000"),
        }
    })
}
