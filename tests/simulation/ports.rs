//! What the core is given in place of real systems, a real store and a real queue: they behave, in virtual time.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use casebridge::cases::{
    Annotated, Annotation, ApiError, ApiErrorKind, Attachment, Capabilities, Case, CaseSystem, Check,
    Comment, Details, Download, Found, Needs, NewAttachment, NewCase, NewComment, Sweep, TextLimit,
    Visibility, Wanted, Written,
};
use casebridge::entities::{
    CaseMapping, CompanyCaseId, EscalationReason, Global, GoogleCaseName, MappingId, PollMemory, Priority,
    Sides,
};
use casebridge::queue::{Enqueued, QueueError, QueuedTask, TaskQueue};
use casebridge::store::{Created, MappingFilter, MappingPage, Store, StoreError};
use chrono::{DateTime, Duration, Utc};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::check;
use crate::desk_check;
use crate::faults::{Course, Fate, TIMEOUT, breaks_off, course};
use crate::history::{Company, Google, Ms, Part, Side, TaskKind};
use crate::model::{FILE_LIMIT, HOME, error, key, stored_under_other_name};
use crate::mutation;
use crate::shown;
use crate::world::{Event, Shared, World};
use casebridge_testkit::dice::{Dice, hash};

/// A call that is under way.
struct Journey {
    course: Course,
    dice: Dice,
}

fn depart(world: &Shared, part: Part) -> Journey {
    let mut world = world.lock();
    let mut dice = world.call_dice();
    let course = course(&mut world, part, &mut dice);
    Journey { course, dice }
}

async fn pause(world: &Shared, ms: Ms) {
    let at = world.lock().now + ms;
    world.until(at).await;
}

/// A call that changes nothing.
async fn read<T>(
    world: &Shared,
    part: Part,
    look: impl FnOnce(&mut World, &mut Dice) -> T,
) -> Result<T, ApiErrorKind> {
    let Journey { course, mut dice } = depart(world, part);
    pause(world, course.sending + course.travelling.min(TIMEOUT)).await;
    if course.travelling >= TIMEOUT {
        return Err(ApiErrorKind::Uncertain);
    }
    let answer = match course.fate {
        Fate::Answered | Fate::Late(_) => Ok(look(&mut world.lock(), &mut dice)),
        Fate::Failed(kind) | Fate::Lost(kind) => Err(kind),
    };
    if course.travelling + course.answering >= TIMEOUT {
        pause(world, TIMEOUT - course.travelling).await;
        return Err(ApiErrorKind::Uncertain);
    }
    pause(world, course.answering).await;
    answer
}

/// A call that changes something. Once it is sent it arrives, whatever becomes of the sender.
async fn write<T: Send + 'static>(
    world: &Shared,
    part: Part,
    act: impl FnOnce(&mut World) -> T + Send + 'static,
) -> Result<T, ApiErrorKind> {
    let Journey { course, .. } = depart(world, part);
    if course.sending > 0 {
        pause(world, course.sending).await;
    }
    let now = world.lock().now;
    match course.fate {
        Fate::Failed(kind) => {
            pause(world, course.answering).await;
            return Err(kind);
        }
        Fate::Late(after) => {
            world.send(now + after, act);
            pause(world, TIMEOUT).await;
            return Err(ApiErrorKind::Uncertain);
        }
        Fate::Answered | Fate::Lost(_) => {}
    }
    let answer = world.send(now + course.travelling, act);
    if course.travelling + course.answering >= TIMEOUT {
        pause(world, TIMEOUT).await;
        return Err(ApiErrorKind::Uncertain);
    }
    pause(world, course.travelling + course.answering).await;
    if let Fate::Lost(kind) = course.fate {
        return Err(kind);
    }
    let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(answer.unwrap_or_else(|| unreachable!("it arrived before its answer")))
}

// The two systems.

/// Number of answers that the skew of a clock is the median of.
const KEPT: usize = 15;
/// Number of successive answers that have to agree to replace it.
const JUMP: usize = 3;
/// Difference between an answer and the median that makes a task wait for more answers.
const CLOCK_DOUBT: Ms = 60_000;

/// How far a system's clock is ahead of an instance's, and the largest error of that: as its answers tell.
#[derive(Debug, Default)]
struct Skew {
    samples: VecDeque<(Ms, Ms)>,
    median: Option<(Ms, Ms)>,
}

impl Skew {
    fn add(&mut self, sample: (Ms, Ms)) {
        let agree = |one: (Ms, Ms), other: (Ms, Ms)| (one.0 - other.0).abs() <= one.1 + other.1;
        self.samples.push_back(sample);
        let newest = self.samples.len().saturating_sub(JUMP);
        let together =
            self.samples.len() >= JUMP && self.samples.iter().skip(newest).all(|other| agree(*other, sample));
        if together && median(&self.samples).is_some_and(|median| !agree(sample, median)) {
            self.samples.drain(..newest);
        }
        if self.samples.len() > KEPT {
            self.samples.pop_front();
        }
        self.median = median(&self.samples);
    }
}

fn median(samples: &VecDeque<(Ms, Ms)>) -> Option<(Ms, Ms)> {
    let mut sorted: Vec<_> = samples.iter().copied().collect();
    sorted.sort_unstable();
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

pub(crate) struct SystemPort {
    pub(crate) world: Shared,
    pub(crate) side: Side,
    instance: usize,
    capabilities: Capabilities,
    skew: Mutex<Skew>,
}

impl SystemPort {
    pub(crate) fn new(world: &Shared, side: Side, instance: usize) -> Self {
        let (traits, edits) = {
            let world = world.lock();
            (*world.traits(side), world.setting.extras.edits)
        };
        let capabilities = Capabilities {
            name: match side {
                Google => "CSAPI",
                Company => "CRM",
            },
            reopen: traits.reopen,
            comment_when_closed: traits.comment_when_closed,
            internal_comments: side == Company,
            comments_change: side == Company && edits,
            comment_limit: TextLimit::code_points(mutation::limit(world, traits.limit)),
            title_limit: TextLimit::code_points(60),
            description_limit: TextLimit::code_points(traits.limit),
            control_characters: traits.control_characters,
            index_lag: Duration::seconds(traits.lag),
            in_flight_window: Duration::seconds(traits.settles),
            time_resolution: Duration::seconds(traits.resolution),
            idempotency_keys: traits.idempotent,
            stored_filename: if traits.renames_files { stored_under_other_name } else { str::to_owned },
        };
        Self { world: world.clone(), side, instance, capabilities, skew: Mutex::default() }
    }

    fn part(&self) -> Part {
        Part::of(self.side)
    }

    /// What an answer tells of the system's clock, which was dated `theirs`; the call was begun at `began`.
    fn measure(&self, began: Ms, theirs: DateTime<Utc>) {
        let mut world = self.world.lock();
        let error = 500 + (world.now - began) / 2;
        let date = theirs.timestamp() * 1000;
        let skew = date - world.ours(self.instance).timestamp_millis() + error;
        let skew = if skew.abs() <= error { 0 } else { skew };
        let mut known = self.skew.lock().unwrap_or_else(PoisonError::into_inner);
        known.add((skew, error));
        if known.median.is_some_and(|(median, _)| (median - skew).abs() > CLOCK_DOUBT) {
            world.clock_doubted_at = world.now;
        }
    }

    fn skews<T>(&self, look: impl FnOnce(&Skew) -> T) -> T {
        look(&self.skew.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read<T>(
        &self,
        call: &str,
        look: impl FnOnce(&mut World, &mut Dice) -> Result<T, ApiError> + Send,
    ) -> Result<T, ApiError> {
        let (began, side) = (self.world.lock().now, self.side);
        let dated = |world: &mut World, dice: &mut Dice| (look(world, dice), world.theirs(side));
        let answer = read(&self.world, self.part(), dated).await;
        let (answer, theirs) = answer.map_err(|kind| error(kind, self.side, call))?;
        self.measure(began, theirs);
        answer
    }

    async fn write<T: Send + 'static>(
        &self,
        call: &str,
        act: impl FnOnce(&mut World) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let answer = write(&self.world, self.part(), act).await;
        let answer = answer.map_err(|kind| error(kind, self.side, call)).flatten();
        answer.map_err(|error| mutation::failed(&self.world, error))
    }
}

#[async_trait]
impl CaseSystem for SystemPort {
    fn side(&self) -> Side {
        self.side
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn home(&self) -> Option<&str> {
        match self.side {
            Google => None,
            Company => Some(HOME).filter(|_| !mutation::is_homeless(&self.world)),
        }
    }

    fn clock_skew(&self) -> Option<Duration> {
        let skew = self.skews(|skew| skew.median).map(|(skew, _)| Duration::milliseconds(skew));
        skew.filter(|_| !mutation::believes_clocks(&self.world))
    }

    fn latest_skew(&self) -> Option<Duration> {
        let skew =
            self.skews(|skew| skew.samples.back().copied()).map(|(skew, _)| Duration::milliseconds(skew));
        skew.filter(|_| !mutation::believes_clocks(&self.world))
    }

    async fn identify(&self) -> Result<(), ApiError> {
        let side = self.side;
        let known = self.read("identify", move |world, _| world.identify(side)).await;
        mutation::identified(&self.world, known)
    }

    async fn any_case(&self, except: Option<&str>) -> Result<Option<String>, ApiError> {
        let side = self.side;
        self.read("find any case", move |world, dice| world.any_case(side, except, dice)).await
    }

    async fn resolve(&self, reference: &str) -> Result<Option<Case>, ApiError> {
        let side = self.side;
        self.read("resolve", move |world, _| world.resolve(side, reference)).await
    }

    async fn attachment_limit(&self) -> Result<Option<u64>, ApiError> {
        let side = self.side;
        self.read("read the attachment limit", move |world, _| {
            Ok(world.traits(side).tells_limit.then_some(FILE_LIMIT))
        })
        .await
    }

    async fn search_updated(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        let side = self.side;
        let sweep = self.read("search", move |world, dice| world.search(side, since, dice)).await;
        mutation::searched(&self.world, sweep)
    }

    async fn get(&self, id: &str) -> Result<Option<Case>, ApiError> {
        let side = self.side;
        let case = self.read("get a case", move |world, _| world.get_case(side, id)).await?;
        Ok(mutation::got(&self.world, case))
    }

    async fn find_counterparts(&self, counterpart: &str, home: Option<&str>) -> Result<Vec<Found>, ApiError> {
        let side = self.side;
        let named = (counterpart, home);
        let found =
            self.read("find a counterpart", move |world, dice| world.find_mirrors(side, named, None, dice));
        let found = found.await?;
        Ok(mutation::counterparts(&self.world, found))
    }

    async fn find_counterparts_under(
        &self,
        parent: &str,
        counterpart: &str,
        home: Option<&str>,
    ) -> Result<Vec<Found>, ApiError> {
        let (side, named) = (self.side, (counterpart, home));
        let found = self.read("find a counterpart in its place", move |world, dice| {
            world.find_mirrors(side, named, Some(parent), dice)
        });
        let found = found.await?;
        if !found.is_empty() {
            self.world.lock().seen.count("calls", "found in its place");
        }
        Ok(mutation::counterparts(&self.world, found))
    }

    async fn details(&self, id: &str, wanted: &Wanted) -> Result<Details, ApiError> {
        let side = self.side;
        self.read("read details", move |world, _| world.details(side, id, wanted)).await
    }

    async fn create(&self, case: &NewCase) -> Result<Case, ApiError> {
        let (side, case) = (self.side, case.clone());
        desk_check::creates(&mut self.world.lock(), side, &case);
        let new = case.clone();
        let outcome = self.write("create a case", move |world| world.api_create(side, &new)).await;
        desk_check::created(&mut self.world.lock(), side, &case, &outcome);
        outcome
    }

    async fn link(&self, id: &str, counterpart: &str) -> Result<(), ApiError> {
        let (side, id, counterpart) = (self.side, id.to_owned(), counterpart.to_owned());
        self.write("link", move |world| world.api_link(side, &id, &counterpart)).await
    }

    async fn comments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Comment>, ApiError> {
        let side = self.side;
        let comments =
            self.read("list comments", move |world, dice| world.list_notes(side, id, since, dice)).await?;
        Ok(mutation::listed(&self.world, side, id, comments))
    }

    async fn attachments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Attachment>, ApiError> {
        let side = self.side;
        self.read("list attachments", move |world, dice| world.list_files(side, id, since, dice)).await
    }

    async fn add_comment(&self, id: &str, comment: &NewComment) -> Result<Written, ApiError> {
        let (side, id, comment) = (self.side, id.to_owned(), comment.clone());
        self.write("add a comment", move |world| world.api_comment(side, &id, &comment)).await
    }

    async fn download(&self, id: &str, attachment: &Attachment) -> Result<Download, ApiError> {
        let (side, api) = (self.side, self.part());
        let answer = self
            .read("download", move |world, dice| {
                let broken = breaks_off(world, api, dice);
                world.file_content(side, id, &attachment.id).map(|content| (content, broken))
            })
            .await;
        let (content, broken) =
            answer.inspect_err(|_| self.world.lock().withheld(side, id, &attachment.id))?;
        let length = content.len() as u64;
        let mut pieces: Vec<Result<Bytes, ApiError>> =
            content.chunks(500).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        if broken {
            self.world.lock().withheld(side, id, &attachment.id);
            pieces.truncate(pieces.len() / 2);
            pieces.push(Err(error(ApiErrorKind::Uncertain, side, "download: the content broke off")));
        }
        Ok(Download { size: Some(length), content: futures_util::stream::iter(pieces).boxed() })
    }

    async fn upload(&self, id: &str, mut attachment: NewAttachment) -> Result<Written, ApiError> {
        let mut content = Vec::new();
        while let Some(piece) = attachment.content.next().await {
            match piece {
                Ok(piece) => content.extend_from_slice(&piece),
                Err(_) if mutation::keeps_half_files(&self.world) => break,
                // Nothing is kept of an upload that breaks off.
                Err(error) => return Err(error),
            }
        }
        let (side, id) = (self.side, id.to_owned());
        let internal = attachment.visibility == Visibility::Internal;
        self.write("upload", move |world| {
            world.api_upload(side, &id, &attachment.filename, content, internal)
        })
        .await
    }

    async fn set_priority(&self, id: &str, priority: Priority) -> Result<(), ApiError> {
        let (side, id) = (self.side, id.to_owned());
        self.write("set the priority", move |world| world.api_priority(side, &id, priority)).await
    }

    async fn set_title(&self, id: &str, title: &str) -> Result<Option<String>, ApiError> {
        let (side, id, title) = (self.side, id.to_owned(), title.to_owned());
        self.write("set the title", move |world| world.api_title(side, &id, &title)).await?;
        Ok(None)
    }

    async fn set_status(&self, id: &str, status: &str) -> Result<(), ApiError> {
        let (side, id, status) = (self.side, id.to_owned(), status.to_owned());
        self.write("set the status", move |world| world.api_set_status(side, &id, &status)).await
    }

    async fn show_state(&self, id: &str, text: &str) -> Result<(), ApiError> {
        let (side, id, text) = (self.side, id.to_owned(), text.to_owned());
        self.write("show Google's state", move |world| world.api_show_state(side, &id, &text)).await
    }

    async fn annotate(&self, id: &str, annotation: &Annotation) -> Result<Annotated, ApiError> {
        shown::begins(&mut self.world.lock(), id, annotation);
        let (case, new) = (id.to_owned(), annotation.clone());
        let outcome = self.write("annotate", move |world| world.api_annotate(&case, &new)).await;
        shown::ends(&mut self.world.lock(), id, annotation, &outcome);
        outcome
    }

    async fn escalate(
        &self,
        id: &str,
        reason: EscalationReason,
        justification: &str,
    ) -> Result<(), ApiError> {
        let (side, id, justification) = (self.side, id.to_owned(), justification.to_owned());
        self.write("escalate", move |world| world.api_escalate(side, &id, reason, &justification)).await
    }

    async fn set_subscribers(&self, id: &str, subscribers: &[String]) -> Result<(), ApiError> {
        let (side, id, subscribers) = (self.side, id.to_owned(), subscribers.to_vec());
        self.write("set subscribers", move |world| world.api_set_subscribers(side, &id, &subscribers)).await
    }

    async fn close(&self, id: &str) -> Result<(), ApiError> {
        let (side, id) = (self.side, id.to_owned());
        self.write("close", move |world| world.api_status(side, &id, true)).await
    }

    async fn reopen(&self, id: &str) -> Result<(), ApiError> {
        let (side, id) = (self.side, id.to_owned());
        self.write("reopen", move |world| world.api_status(side, &id, false)).await
    }

    async fn check(&self, _needs: Needs) -> Vec<Check> {
        Vec::new()
    }
}

// The store.

/// What the store holds.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) mappings: BTreeMap<i64, CaseMapping>,
    pub(crate) global: Global,
    next: i64,
}

impl Shelf {
    pub(crate) fn of(&self, side: Side, id: &str) -> Option<&CaseMapping> {
        self.mappings.values().find(|mapping| holds(mapping, side, id))
    }
}

fn holds(mapping: &CaseMapping, side: Side, id: &str) -> bool {
    match side {
        Google => {
            mapping.google_case_name.as_ref().is_some_and(|name| Some(name.number()) == id.rsplit('/').next())
        }
        Company => mapping.company_case_id.as_ref().is_some_and(|company| company.as_str() == id),
    }
}

pub(crate) struct StorePort(pub(crate) Shared);

impl StorePort {
    async fn read<T>(&self, look: impl FnOnce(&mut World) -> T + Send) -> Result<T, StoreError> {
        read(&self.0, Part::Store, |world, _| look(world)).await.map_err(unavailable)
    }

    async fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut World) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        write(&self.0, Part::Store, act).await.map_err(unavailable)?
    }
}

fn unavailable(kind: ApiErrorKind) -> StoreError {
    StoreError::Unavailable(format!("{kind:?} in the simulation"))
}

#[async_trait]
impl Store for StorePort {
    async fn global(&self) -> Result<Global, StoreError> {
        self.read(|world| world.shelf.global.clone()).await
    }

    async fn set_poll(
        &self,
        side: Side,
        last_polled_at: Option<DateTime<Utc>>,
        memory: &PollMemory,
    ) -> Result<(), StoreError> {
        let memory = memory.clone();
        self.write(move |world| {
            world.check_dry("the watermark");
            let moved = last_polled_at.filter(|at| world.shelf.global.last_polled_at(side) != Some(*at));
            let now = last_polled_at.unwrap_or_default();
            let memory = mutation::remembered(world, now, world.theirs(side), memory);
            world.shelf.global.set_poll(side, last_polled_at, memory);
            if let Some(at) = moved {
                mutation::polled(world, side, at);
                world.note("polled", || format!("{side} as of {}", at.format("%H:%M:%S%.3f")));
            }
            check::stamps(world);
            Ok(())
        })
        .await
    }

    async fn create(&self, mapping: CaseMapping) -> Result<Created, StoreError> {
        let mapping = mutation::stored(&self.0, mapping);
        self.write(move |world| {
            world.check_dry("a mapping");
            if !mutation::allows_twins(world) {
                for side in Side::BOTH {
                    if let Some(id) = mapping.case_id(side)
                        && let Some(existing) = world.shelf.of(side, id)
                        && (!mutation::compares_names(world) || existing.case_id(side) == Some(id))
                    {
                        let existing = existing.clone();
                        world.seen.count("mappings", "found again");
                        return Ok(Created::Existing(existing));
                    }
                }
            }
            world.shelf.next += 1;
            let mapping = CaseMapping { id: MappingId(world.shelf.next), version: 1, ..mapping };
            world.shelf.mappings.insert(mapping.id.0, mapping.clone());
            world.writes += 1;
            check::agreed(world, None, &mapping);
            world.seen.count("mappings", "made");
            if mapping.state.conflict.is_some() {
                world.seen.count("mappings", "in conflict with its claim");
            }
            world.note("maps", || describe(&mapping));
            check::stored(world, None, &mapping);
            Ok(Created::New(mapping))
        })
        .await
    }

    async fn get(&self, id: MappingId) -> Result<Option<CaseMapping>, StoreError> {
        let mapping = self.read(move |world| world.shelf.mappings.get(&id.0).cloned()).await?;
        Ok(mutation::shown(&self.0, mapping))
    }

    async fn find_by_google(&self, name: &GoogleCaseName) -> Result<Option<CaseMapping>, StoreError> {
        let mapping = self.read(move |world| {
            let mapping = world.shelf.of(Google, name.as_str());
            let same = |mapping: &&CaseMapping| mapping.case_id(Google) == Some(name.as_str());
            mapping.filter(|mapping| !mutation::compares_names(world) || same(mapping)).cloned()
        });
        Ok(mutation::shown(&self.0, mapping.await?))
    }

    async fn find_by_company(&self, id: &CompanyCaseId) -> Result<Option<CaseMapping>, StoreError> {
        let mapping = self.read(move |world| world.shelf.of(Company, id.as_str()).cloned()).await?;
        Ok(mutation::shown(&self.0, mapping))
    }

    async fn update(&self, mapping: &CaseMapping) -> Result<CaseMapping, StoreError> {
        let mapping = mutation::stored(&self.0, mapping.clone());
        self.write(move |world| {
            world.check_dry("a mapping");
            let id = mapping.id;
            let Some(current) = world.shelf.mappings.get(&id.0) else { return Err(StoreError::Gone(id)) };
            if current.version != mapping.version && !mutation::ignores_versions(world) {
                world.seen.count("mappings", "in conflict");
                return Err(StoreError::Conflict(id));
            }
            let version = current.version + 1;
            for side in Side::BOTH {
                if let Some(case) = mapping.case_id(side)
                    && let Some(other) =
                        world.shelf.mappings.values().find(|other| other.id != id && holds(other, side, case))
                    && !mutation::allows_twins(world)
                {
                    let existing = other.id;
                    world.seen.count("mappings", "refused as a twin");
                    return Err(StoreError::Duplicate { existing });
                }
            }
            let mapping = CaseMapping { version, ..mapping };
            let before = world.shelf.mappings.insert(id.0, mapping.clone());
            for what in before.iter().flat_map(|before| changes(before, &mapping)) {
                world.seen.count("mappings", what);
            }
            world.writes += 1;
            check::agreed(world, before.as_ref(), &mapping);
            world.note("stores", || describe(&mapping));
            check::stored(world, before.as_ref(), &mapping);
            shown::stored(world, &mapping);
            Ok(mapping)
        })
        .await
    }

    async fn delete(&self, mapping: &CaseMapping) -> Result<(), StoreError> {
        let (id, version) = (mapping.id, mapping.version);
        self.write(move |world| {
            world.check_dry("a deletion");
            match world.shelf.mappings.get(&id.0) {
                None => Ok(()),
                Some(current) if current.version != version => Err(StoreError::Conflict(id)),
                Some(_) => {
                    check::forgotten(world, id);
                    world.shelf.mappings.remove(&id.0);
                    world.writes += 1;
                    world.seen.count("mappings", "deleted");
                    world.note("deletes", || format!("mapping {id}"));
                    Ok(())
                }
            }
        })
        .await
    }

    async fn list(
        &self,
        filter: MappingFilter,
        after: Option<MappingId>,
        limit: usize,
    ) -> Result<MappingPage, StoreError> {
        self.read(move |world| {
            let matches = |mapping: &&CaseMapping| match filter {
                MappingFilter::All => true,
                MappingFilter::NeedsWatching => mapping.needs_attention(),
                MappingFilter::Open => mapping.is_open(),
                MappingFilter::ResolvedBefore(time) => mapping.resolved_at.is_some_and(|at| at < time),
            };
            // Small pages, so that there are many.
            let limit = limit.min(2);
            let mut found: Vec<CaseMapping> = world
                .shelf
                .mappings
                .values()
                .filter(|mapping| after.is_none_or(|after| mapping.id > after))
                .filter(matches)
                .take(limit + 1)
                .cloned()
                .collect();
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().map(|mapping| mapping.id).filter(|_| more);
            MappingPage { mappings: found, next }
        })
        .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn gave_up(mapping: &CaseMapping) -> usize {
    mapping.state.refusals.iter().filter(|refusal| refusal.given_up).count()
}

fn unheld(mapping: &CaseMapping) -> usize {
    Side::BOTH.into_iter().filter(|side| mapping.state.unheld_priority[*side].is_some()).count()
}

/// What became of a mapping with this change.
fn changes(before: &CaseMapping, after: &CaseMapping) -> impl Iterator<Item = &'static str> {
    [
        ("paused", !before.paused && after.paused),
        ("resumed", before.paused && !after.paused),
        ("gone", before.gone.is_none() && after.gone.is_some()),
        ("resolved", before.is_open() && !after.is_open()),
        ("opened again", !before.is_open() && after.is_open()),
        ("relinking", !before.relinking && after.relinking),
        ("missing", before.state.missing == Sides::default() && after.state.missing != Sides::default()),
        (
            "found after all",
            before.state.missing != Sides::default() && after.state.missing == Sides::default(),
        ),
        ("back", before.gone.is_some() && after.gone.is_none()),
        ("given up", gave_up(before) < gave_up(after)),
        (
            "read-only",
            before.state.read_only == Sides::default() && after.state.read_only != Sides::default(),
        ),
        ("without a priority it cannot hold", unheld(before) < unheld(after)),
        ("in conflict no longer", before.state.conflict.is_some() && after.state.conflict.is_none()),
        ("handed over", before.is_linked() && before.company_case_id != after.company_case_id),
        ("with a write pending", before.pending.len() < after.pending.len()),
        ("with a creation pending", before.pending_creation.is_none() && after.pending_creation.is_some()),
        ("with a status pending", before.state.turn.setting.is_none() && after.state.turn.setting.is_some()),
        (
            "with an escalation pending",
            before.state.escalation.sent_at.is_none() && after.state.escalation.sent_at.is_some(),
        ),
        (
            "with subscribers pending",
            before.state.subscribers_sent_at.is_none() && after.state.subscribers_sent_at.is_some(),
        ),
    ]
    .into_iter()
    .filter_map(|(what, happened)| happened.then_some(what))
}

/// What matters of a mapping, for the log.
fn describe(mapping: &CaseMapping) -> String {
    let time = |at: Option<DateTime<Utc>>| at.map_or("-".to_owned(), |at| at.format("%H:%M:%S").to_string());
    let wait = |side: Side| mapping.dirty[side].map_or("-".to_owned(), |waiting| time(Some(waiting.since)));
    let carried = |side: Side| time(mapping.carried_updated_at[side]);
    format!(
        "mapping {} v{}: {} + {}; synced {} {}; waiting {} {}; carried {} {}; lease {:?}; ledger {}; pending {:?}; {}{}{}{}{}",
        mapping.id,
        mapping.version,
        mapping.case_id(Google).unwrap_or("-"),
        mapping.case_id(Company).unwrap_or("-"),
        time(mapping.google_updates_synced_at),
        time(mapping.company_updates_synced_at),
        wait(Google),
        wait(Company),
        carried(Google),
        carried(Company),
        mapping.lease.as_ref().map(|lease| lease.expires_at.format("%H:%M:%S").to_string()),
        mapping.ledger.len(),
        mapping
            .pending
            .iter()
            .map(|pending| format!("{}:{:?}", pending.side, pending.source))
            .collect::<Vec<_>>(),
        mapping.resolved_at.map_or_else(String::new, |_| "resolved ".to_owned()),
        if mapping.paused { "paused " } else { "" },
        mapping.gone.map_or_else(String::new, |side| format!("gone {side} ")),
        if mapping.relinking { "relinking " } else { "" },
        mapping.last_error.as_deref().map(|error| format!("({error})")).unwrap_or_default(),
    )
}

// The queue.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ticket {
    Waiting,
    Running,
    Done,
}

/// A task in a queue.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) kind: TaskKind,
    pub(crate) body: Value,
    pub(crate) salt: u64,
    pub(crate) attempt: u32,
    pub(crate) state: Ticket,
    /// When it was queued.
    pub(crate) at: Ms,
    /// It is to be delivered once more when it is done.
    pub(crate) again: bool,
    /// Hash of the kind and the body.
    pub(crate) work: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) tickets: Vec<Queued>,
    names: HashSet<String>,
    /// Latest ticket of each work that was delivered.
    delivered: HashMap<u64, usize>,
}

impl World {
    /// Puts a task into its queue.
    pub(crate) fn enqueue(&mut self, kind: TaskKind, body: Value, salt: u64, not_before: Ms) {
        let mut dice = Dice::of(&[self.setting.seed, salt]);
        let late = !self.calm && !kind.is_scheduled() && dice.percent(self.setting.late);
        let delay = if late { dice.range(30_000, 600_000) } else { dice.range(20, 400) };
        let delay = delay.max(not_before - self.now);
        let again = !self.calm && dice.percent(self.setting.twice);
        self.seen.count("deliveries", if late { "late" } else { "on time" });
        let ticket = self.queue.tickets.len();
        let work = hash(format!("{kind} {body}").as_bytes());
        self.queue.tickets.push(Queued {
            kind,
            body,
            salt,
            attempt: 0,
            state: Ticket::Waiting,
            again,
            at: self.now,
            work,
        });
        let at = self.now + delay;
        self.plan(at, Event::Deliver(ticket));
        self.note("queues", || format!("{kind} as ticket {ticket}, due in {delay} ms"));
    }
}

impl World {
    /// Takes a ticket out of its queue. Returns true if the same was queued later and is ahead of it.
    pub(crate) fn take(&mut self, ticket: usize) -> bool {
        let queued = &mut self.queue.tickets[ticket];
        queued.state = Ticket::Running;
        let latest = self.queue.delivered.entry(queued.work).or_insert(ticket);
        let is_overtaken = *latest > ticket;
        *latest = (*latest).max(ticket);
        is_overtaken
    }

    /// Whether a sync of that case was queued a moment ago and is not done.
    pub(crate) fn checks_soon(&self, side: Side, id: &str) -> bool {
        self.queue.tickets.iter().rev().take_while(|ticket| self.now - ticket.at < 900_000).any(|ticket| {
            let named = match (ticket.kind, side) {
                (TaskKind::SyncGoogleCase, Google) => ticket.body.get("case_name"),
                (TaskKind::SyncCompanyCase, Company) => ticket.body.get("case_id"),
                _ => None,
            };
            ticket.state != Ticket::Done
                && named.and_then(Value::as_str).is_some_and(|named| key(named) == key(id))
        })
    }
}

pub(crate) struct QueuePort(pub(crate) Shared);

#[async_trait]
impl TaskQueue for QueuePort {
    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError> {
        let kind = task.kind;
        // By the clock of the instance that queues it, when it does: a queue knows its own time.
        let wait = {
            let world = self.0.lock();
            let instance = world.current.map_or(0, |run| world.runs[run].instance);
            task.not_before.map(|at| (at - world.ours(instance)).num_milliseconds())
        };
        let outcome = write(&self.0, Part::Queue, move |world| {
            world.check_dry("a task");
            if let Some(name) = &task.name
                && !world.queue.names.insert(name.as_str().to_owned())
            {
                world.seen.count("deliveries", "of a used name");
                return Enqueued::AlreadyExists;
            }
            let salt = task.name.as_ref().map_or(0, |name| hash(name.as_str().as_bytes()));
            let not_before = wait.map_or(0, |wait| world.now + wait);
            world.enqueue(task.kind, task.body, salt, not_before);
            Enqueued::New
        });
        outcome.await.map_err(|kind_of_error| QueueError {
            task: kind,
            reason: format!("{kind_of_error:?} in the simulation"),
        })
    }
}
