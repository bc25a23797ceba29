//! Edge and router in one process: direct calls, no queues.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use stanza::{
    BindReply, BindRequest, Condition, EnableReply, EnableRequest, ErrorType, RegisterReply, RegisterRequest,
    ResumeReply, ResumeRequest, SaslReply, SaslRequest, StanzaError,
};
use tokio::sync::OnceCell;

use crate::{CloseReason, EdgeRef, Gone, Home, Router, SessionRef, Submission};

/// Joins an edge to the home in the same process. The home hears of the edge before its first call.
pub fn local(home: Arc<dyn Home>, edge: EdgeRef) -> Arc<dyn Router> {
    Arc::new(Local {
        home,
        edge,
        greeted: OnceCell::new(),
    })
}

struct Local {
    home: Arc<dyn Home>,
    edge: EdgeRef,
    greeted: OnceCell<()>,
}

impl Local {
    async fn home(&self) -> &dyn Home {
        let greet = || async {
            self.home.edge_up(self.edge.clone()).await;
            self.home.attached(&self.edge, u64::MAX, BTreeSet::new()).await;
        };
        self.greeted.get_or_init(greet).await;
        &*self.home
    }
}

#[async_trait]
impl Router for Local {
    async fn sasl(&self, request: SaslRequest) -> SaslReply {
        self.home().await.sasl(request).await
    }

    async fn register(&self, request: RegisterRequest) -> RegisterReply {
        self.home().await.register(request).await
    }

    async fn bind(&self, request: BindRequest) -> BindReply {
        let reply = self.home().await.bind(&self.edge, request).await;
        reply.unwrap_or_else(|_| BindReply::Refused(homeless()))
    }

    async fn submit(&self, session: &SessionRef, submission: Submission) -> Result<(), Gone> {
        let number = submission.number;
        self.home().await.submit(session, submission).await?;
        self.edge.edge.done(session.id, number);
        Ok(())
    }

    async fn enable(&self, session: &SessionRef, request: EnableRequest) -> EnableReply {
        let reply = self.home().await.enable(session, request).await;
        reply.unwrap_or_else(|_| EnableReply::Refused(homeless()))
    }

    async fn resume(&self, request: ResumeRequest) -> ResumeReply {
        let reply = self.home().await.resume(&self.edge, request).await;
        reply.unwrap_or_else(|_| ResumeReply::Refused {
            error: homeless(),
            h: None,
        })
    }

    fn written(&self, session: &SessionRef, number: u64) {
        self.home.written(session, number);
    }

    async fn look(&self, session: &SessionRef, active: bool) {
        // The only home there is; while it is none, nothing is delivered either.
        let _ = self.home().await.look(session, active).await;
    }

    async fn close(&self, session: &SessionRef, reason: CloseReason) {
        // The only home there is knows the session, or has ended it.
        let _ = self.home().await.close(session, reason).await;
    }
}

/// What a client is told whom no home takes now.
pub(crate) fn homeless() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait)
}
