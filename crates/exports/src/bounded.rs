//! A reader that counts, and refuses a record that is too long.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

/// Counts the bytes of the record that is being read. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Meter(Rc<Count>);

#[derive(Debug, Default)]
struct Count {
    most: usize,
    bytes: Cell<usize>,
    is_exceeded: Cell<bool>,
}

impl Meter {
    /// Begins a record.
    pub fn reset(&self) {
        self.0.bytes.set(0);
    }

    /// Whether a record was longer than the limit.
    pub fn is_exceeded(&self) -> bool {
        self.0.is_exceeded.get()
    }

    /// The limit of a record, in bytes.
    pub fn most(&self) -> usize {
        self.0.most
    }
}

/// Reads until a record has more than `most` bytes.
#[derive(Debug)]
pub struct Bounded<R> {
    file: R,
    meter: Meter,
}

impl<R: BufRead> Bounded<R> {
    /// Reads from `file`; a record has at most `most` bytes.
    pub fn new(file: R, most: usize) -> Self {
        Self { file, meter: Meter(Rc::new(Count { most, ..Count::default() })) }
    }

    /// The count of the current record.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// The number of bytes that the record may still have.
    fn left(&self) -> io::Result<usize> {
        let left = self.meter.most().saturating_sub(self.meter.0.bytes.get());
        if left == 0 {
            self.meter.0.is_exceeded.set(true);
            return Err(io::Error::other("a record is too long"));
        }
        Ok(left)
    }

    fn count(&self, bytes: usize) {
        self.meter.0.bytes.set(self.meter.0.bytes.get().saturating_add(bytes));
    }
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = self.left()?.min(into.len());
        let read = self.file.read(&mut into[..most])?;
        self.count(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let left = self.left()?;
        let bytes = self.file.fill_buf()?;
        Ok(&bytes[..bytes.len().min(left)])
    }

    fn consume(&mut self, bytes: usize) {
        self.count(bytes);
        self.file.consume(bytes);
    }
}
