-- Version 3: what runs tell each other and the outside.
--
-- Glossary, besides that of the versions before
--   message    a value that was sent to a run; received once, in the order in which they were sent, topic by topic
--   event      the value that a run published last under a name
--   awaits     what has a run that waits taken up before `wake_at`: `topic/<topic>`, a message of its own about
--              that; `run/<id>`, an event of that run or its end
--   begins     when a run that was started with a delay was to begin
--   deadline   when a run that has not ended is cancelled
--   version    that of the workflow's source by which the run was started, if it says one

alter table workflows add column awaits text;

alter table workflows add column begins integer;

alter table workflows add column deadline integer;

alter table workflows add column version integer;

create table messages (
  number      integer primary key,            -- in the order in which they were sent
  workflow_id text    not null check (typeof(workflow_id) = 'text'), -- the run that it was sent to
  topic       text    not null,
  key         text    not null,               -- given by the sender, or random: one of the same key is not sent again
  value       text    not null,               -- JSON
  timestamp   integer not null,               -- when it was sent
  received    blob,                           -- the position of the operation that has received it
  checksum    integer
);

create unique index messages_key on messages (workflow_id, key);

-- What waits to be received.
create index messages_waiting on messages (workflow_id, topic, number) where received is null;

create table events (
  workflow_id text    not null check (typeof(workflow_id) = 'text'), -- the run that published it
  name        text    not null,
  value       text    not null,               -- JSON
  timestamp   integer not null,               -- when it was published
  checksum    integer,
  primary key (workflow_id, name)
) without rowid;                              -- looked up by its run and its name alone

-- Whose deadline passes next.
create index workflows_deadline on workflows (deadline) where deadline is not null and status = 'RUNNING';

-- Whom something wakes.
create index workflows_awaiting on workflows (awaits) where awaits is not null;
