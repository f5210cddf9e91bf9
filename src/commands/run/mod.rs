//! `hogwatch run`: a command under a hard memory cap.

pub mod cap;
