//! Work of the page beside its handlers. A handler must be a future that any thread can poll, and code that reads or
//! writes figures is none. So the service polls this work together with its own loops.

use std::convert::Infallible;
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};

use crate::target;

type Running = Pin<Box<dyn Future<Output = ()>>>;
type Begin = Box<dyn FnOnce() -> Running + Send>;

/// Where handlers hand work over.
#[derive(Clone)]
pub struct Local(mpsc::UnboundedSender<Begin>);

/// The work that was handed over.
pub struct LocalTasks(mpsc::UnboundedReceiver<Begin>);

impl Local {
    /// A place for work, and what carries it out.
    pub fn new() -> (Self, LocalTasks) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), LocalTasks(receiver))
    }

    /// Has work done, for the target of the calling task, without waiting for it.
    pub fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        begin: impl FnOnce() -> F + Send + 'static,
    ) {
        let name = target::name();
        let _ = self.0.send(Box::new(move || Box::pin(target::inherited(name, begin()))));
    }

    /// Has work done, and waits for what comes of it; `None` if the service ends before.
    pub async fn run<T: Send + 'static, F: Future<Output = T> + 'static>(
        &self,
        begin: impl FnOnce() -> F + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.spawn(move || {
            let work = begin();
            async move {
                let _ = sender.send(work.await);
            }
        });
        receiver.await.ok()
    }
}

impl LocalTasks {
    /// Carries out what is handed over, for ever.
    pub async fn carry_out(mut self) -> Infallible {
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(begin) = self.0.recv() => running.push(begin()),
                Some(()) = running.next(), if !running.is_empty() => {}
                else => std::future::pending::<()>().await,
            }
        }
    }
}
