-- Updates of a subscription stay in their page, so that a held snapshot does not slow every batch down; see
-- pgq._open_batch, which takes the place of the index.
alter table pgq.subscription drop constraint if exists subscription_batch_idx;
