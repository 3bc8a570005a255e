//! The order of messages to the server: the writes of one group and its COMMIT, then BEGIN of the next
//! group, the lock of its user and its first query. No answer is awaited between them.
//!
//! diesel-async sends a statement when its future is first polled, if the connection has prepared it.
//! Otherwise it first sends a request to prepare it, and later polled futures would overtake it. So this
//! is the only module that polls several futures of a connection. [`super::GroupTransaction`] ensures
//! that all statements except the queries are prepared. COMMIT can never overtake a write and so commit
//! without it. The writes come first, and after a failed one the server treats COMMIT as ROLLBACK.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::future::BoxFuture;
use tokio::task::unconstrained;

use crate::cte::CteStatement;

/// A statement that is sent at its first poll. Its output is the number of affected rows.
type Sending<'c> = BoxFuture<'c, QueryResult<usize>>;

/// The server's answers.
pub(super) struct Answers<T> {
    /// The answers to the writes, in their order.
    pub(super) writes: Vec<QueryResult<usize>>,
    /// The answer to COMMIT.
    pub(super) commit: Option<QueryResult<()>>,
    /// The answer to BEGIN, or if BEGIN succeeded, to the lock.
    pub(super) begin: Option<QueryResult<()>>,
    /// The answer to the query; `None` if the transaction did not begin.
    pub(super) question: Option<T>,
}

/// BEGIN and the lock statement after it.
pub(super) struct Begin {
    pub(super) sql: String,
    pub(super) lock: CteStatement,
}

/// Sends writes, COMMIT if `commit`, BEGIN, the lock and a query at once and in this order. Waits for
/// all answers.
pub(super) async fn exchange<T>(
    connection: &AsyncPgConnection,
    writes: Vec<CteStatement>,
    commit: bool,
    begin: Option<Begin>,
    question: impl Future<Output = T>,
) -> Answers<T> {
    let writes = writes.into_iter().map(|write| send(connection, write)).collect();
    // A write that is refused before it is sent is only absent at the server, so COMMIT would succeed.
    let end = |refused: bool| -> Sending<'_> {
        let sql = if refused { "ROLLBACK" } else { "COMMIT" };
        Box::pin(async move { (&mut &*connection).batch_execute(sql).await.map(|()| 0) })
    };
    let begin = begin.map(|Begin { sql, lock }| -> [Sending<'_>; 2] {
        let begin = async move { (&mut &*connection).batch_execute(&sql).await.map(|()| 0) };
        [Box::pin(begin), send(connection, lock)]
    });
    in_order(writes, commit.then_some(end), begin, question).await
}

/// Sends one write.
fn send(connection: &AsyncPgConnection, statement: CteStatement) -> Sending<'_> {
    Box::pin(async move { RunQueryDsl::execute(statement, &mut &*connection).await })
}

async fn in_order<'c, T>(
    mut writes: Vec<Sending<'c>>,
    end: Option<impl FnOnce(bool) -> Sending<'c>>,
    mut begin: Option<[Sending<'c>; 2]>,
    question: impl Future<Output = T>,
) -> Answers<T> {
    let mut question = std::pin::pin!(question);
    let mut written: Vec<Option<QueryResult<usize>>> = writes.iter().map(|_| None).collect();
    let (mut end, mut ending) = (end, None);
    let (mut committed, mut begun, mut locked, mut answered) = (None, None, None, None);
    let all = poll_fn(|context| {
        for (write, answer) in writes.iter_mut().zip(&mut written) {
            poll(write, answer, context);
        }
        if let Some(end) = end.take() {
            ending = Some(end(written.iter().any(|answer| matches!(answer, Some(Err(_))))));
        }
        if let Some(ending) = &mut ending {
            poll(ending, &mut committed, context);
        }
        if let Some([begin, lock]) = &mut begin {
            poll(begin, &mut begun, context);
            if !matches!(begun, Some(Err(_))) {
                poll(lock, &mut locked, context);
            }
        }
        let has_begun = !matches!((&begun, &locked), (Some(Err(_)), _) | (_, Some(Err(_))));
        if has_begun
            && answered.is_none()
            && let Poll::Ready(answer) = question.as_mut().poll(context)
        {
            answered = Some(answer);
        }
        let is_over = written.iter().all(Option::is_some)
            && (ending.is_none() || committed.is_some())
            && (begin.is_none() || !has_begun || (begun.is_some() && locked.is_some()))
            && (!has_begun || answered.is_some());
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    });
    // A task over its cooperative budget would otherwise pause in the middle of the messages.
    unconstrained(all).await;
    Answers {
        writes: written.into_iter().flatten().collect(),
        commit: committed.map(|answer| answer.map(|_| ())),
        begin: begun.map(|begun| begun.and(locked.unwrap_or(Ok(0))).map(|_| ())),
        question: answered,
    }
}

fn poll(
    sending: &mut Sending<'_>,
    answer: &mut Option<QueryResult<usize>>,
    context: &mut Context<'_>,
) {
    if answer.is_none()
        && let Poll::Ready(ready) = Pin::new(sending).poll(context)
    {
        *answer = Some(ready);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use diesel::result::Error;

    use super::*;

    /// A statement that reports when it is sent, and is answered later.
    fn told<'c>(
        sent: &'c Mutex<Vec<String>>,
        name: String,
        answer: QueryResult<usize>,
    ) -> Sending<'c> {
        Box::pin(async move {
            let answer = answer?;
            sent.lock().unwrap().push(name);
            // Give the server time to answer.
            tokio::task::yield_now().await;
            Ok(answer)
        })
    }

    async fn sent(writes: Vec<QueryResult<usize>>) -> Vec<String> {
        let sent = Mutex::new(Vec::new());
        let writes = writes.into_iter().enumerate();
        let writes = writes.map(|(n, answer)| told(&sent, format!("write {n}"), answer)).collect();
        let end = |refused: bool| {
            told(&sent, if refused { "ROLLBACK" } else { "COMMIT" }.to_owned(), Ok(0))
        };
        let begin = ["BEGIN", "lock"].map(|name| told(&sent, name.to_owned(), Ok(0)));
        let question = told(&sent, "question".to_owned(), Ok(1));
        let answers = in_order(writes, Some(end), Some(begin), question).await;
        assert!(answers.commit.unwrap().is_ok() && answers.begin.unwrap().is_ok());
        assert_eq!(answers.question.unwrap(), Ok(1));
        sent.into_inner().unwrap()
    }

    #[tokio::test]
    async fn the_writes_of_a_group_are_sent_before_its_commit_and_the_next_group_behind_it() {
        let expected = ["write 0", "write 1", "COMMIT", "BEGIN", "lock", "question"];
        assert_eq!(sent(vec![Ok(1), Ok(1)]).await, expected);
    }

    #[tokio::test]
    async fn a_group_whose_write_is_refused_before_it_is_sent_is_not_committed() {
        let expected = ["write 0", "write 2", "ROLLBACK", "BEGIN", "lock", "question"];
        assert_eq!(sent(vec![Ok(1), Err(Error::NotFound), Ok(1)]).await, expected);
    }

    #[tokio::test]
    async fn a_transaction_that_did_not_begin_has_no_answer_to_its_question() {
        let failed = || -> Sending<'_> { Box::pin(async { Err(Error::NotFound) }) };
        let done = || -> Sending<'_> { Box::pin(async { Ok(0) }) };
        for begin in [[failed(), done()], [done(), failed()]] {
            let nothing = None::<fn(bool) -> Sending<'static>>;
            let never = std::future::pending::<()>();
            let answers = in_order(Vec::new(), nothing, Some(begin), never).await;
            assert!(answers.begin.unwrap().is_err() && answers.question.is_none());
        }
    }
}
