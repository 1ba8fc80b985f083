//! Putting frames together from streams, across cancelled calls and fairly between channels.

use std::task::{Context, Poll, ready};

use quinn::{ConnectionError, ReadError, RecvStream};

use super::{Channel, FRAME_BYTES_MAX};
use crate::error::TransportError;

const HEADER_BYTES: usize = 4;

/// How much a frame's buffer grows ahead of what has arrived, in bytes: a length field alone
/// does not make us allocate.
const GROW_BYTES: usize = 64 * 1024;

pub(super) enum ReadFailure {
    /// The connection ended.
    Lost(ConnectionError),
    /// The peer sent what it must not.
    Broken(TransportError),
}

/// The frames of one stream.
pub(super) struct FrameReader {
    channel: Channel,
    stream: RecvStream,
    header: [u8; HEADER_BYTES],
    /// How much of the header and the body has come, in bytes.
    filled: usize,
    body: Vec<u8>,
    ended: bool,
}

impl FrameReader {
    pub(super) fn new(channel: Channel, stream: RecvStream) -> Self {
        Self {
            channel,
            stream,
            header: [0; HEADER_BYTES],
            filled: 0,
            body: Vec::new(),
            ended: false,
        }
    }

    /// `None` once the channel has ended between two frames.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Vec<u8>>, ReadFailure>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        while self.filled < HEADER_BYTES {
            let read = self.stream.poll_read(cx, &mut self.header[self.filled..]);
            match ready!(read) {
                Ok(0) if self.filled == 0 => {
                    self.ended = true;
                    return Poll::Ready(Ok(None));
                }
                Ok(0) => return Poll::Ready(Err(self.truncated(HEADER_BYTES))),
                Ok(bytes) => self.filled += bytes,
                Err(error) => return Poll::Ready(Err(self.failed(error, HEADER_BYTES))),
            }
        }
        let length = u32::from_be_bytes(self.header) as usize;
        if length > FRAME_BYTES_MAX {
            return Poll::Ready(Err(ReadFailure::Broken(TransportError::FrameTooLarge {
                channel: self.channel,
                bytes: length as u64,
            })));
        }
        while self.filled < HEADER_BYTES + length {
            let got = self.filled - HEADER_BYTES;
            if self.body.len() == got {
                self.body.resize(length.min(got + GROW_BYTES), 0);
            }
            match ready!(self.stream.poll_read(cx, &mut self.body[got..])) {
                Ok(0) => return Poll::Ready(Err(self.truncated(length))),
                Ok(bytes) => self.filled += bytes,
                Err(error) => return Poll::Ready(Err(self.failed(error, length))),
            }
        }
        self.filled = 0;
        Poll::Ready(Ok(Some(core::mem::take(&mut self.body))))
    }

    fn failed(&self, error: ReadError, expected: usize) -> ReadFailure {
        match error {
            ReadError::ConnectionLost(error) => ReadFailure::Lost(error),
            ReadError::Reset(_)
            | ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => self.truncated(expected),
        }
    }

    fn truncated(&self, expected: usize) -> ReadFailure {
        let got = if self.filled < HEADER_BYTES {
            self.filled
        } else {
            self.filled - HEADER_BYTES
        };
        ReadFailure::Broken(TransportError::FrameTruncated {
            channel: self.channel,
            got_bytes: got as u64,
            expected_bytes: expected as u64,
        })
    }
}

/// A frame and its channel, or `None` once every channel has ended.
pub(super) type Next = Result<Option<(Channel, Vec<u8>)>, ReadFailure>;

/// All channels of a connection, served in turn.
pub(super) struct Merge {
    readers: Vec<FrameReader>,
    /// Which reader is asked first.
    turn: usize,
}

impl Merge {
    pub(super) fn new(readers: Vec<FrameReader>) -> Self {
        Self { readers, turn: 0 }
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let count = self.readers.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let reader = &mut self.readers[index];
            match reader.poll_frame(cx) {
                Poll::Ready(Ok(Some(frame))) => {
                    self.turn = (index + 1) % count;
                    return Poll::Ready(Ok(Some((reader.channel, frame))));
                }
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Ready(Ok(None)) | Poll::Pending => {}
            }
        }
        if self.readers.iter().all(|reader| reader.ended) {
            Poll::Ready(Ok(None))
        } else {
            Poll::Pending
        }
    }
}
