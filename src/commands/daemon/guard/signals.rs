//! The signals that the guard itself gets.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

pub(super) struct Signals {
    pub(super) pipe: UnixStream,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) reload: Arc<AtomicBool>,
}

impl Signals {
    pub(super) fn install() -> io::Result<Self> {
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let flag = |signals: &[i32]| {
            let flag = Arc::new(AtomicBool::new(false));
            for signal in signals {
                signal_hook::flag::register(*signal, Arc::clone(&flag))?;
                signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
            }
            io::Result::Ok(flag)
        };
        let stop = flag(&[SIGTERM, SIGINT])?;
        let reload = flag(&[SIGHUP])?;
        Ok(Self { pipe, stop, reload })
    }

    pub(super) fn drain(&self) {
        use std::io::Read;
        let mut buf = [0; 64];
        while matches!((&self.pipe).read(&mut buf), Ok(n) if n > 0) {}
    }
}
