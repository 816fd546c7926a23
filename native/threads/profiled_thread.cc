#include "threads/profiled_thread.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "code/source_map_texts.h"
#include "threads/session.h"

namespace otelpyroscope {
namespace {

void DeleteTimer(uv_handle_t* handle) {
  delete reinterpret_cast<uv_timer_t*>(handle);
}

}  // namespace

// --- Set-up and teardown ---

ProfiledThread* ProfiledThread::Acquire(v8::Isolate* isolate, uv_loop_t* loop,
                                        std::string name, void (*wake)(void*),
                                        void* data) {
  Sampler* sampler = Sampler::Acquire(
      isolate, loop, []() -> Sampler::Owner* { return new ProfiledThread; });
  if (sampler == nullptr) return nullptr;
  auto* thread = static_cast<ProfiledThread*>(sampler->owner());
  thread->sampler_ = sampler;
  thread->wake_ = wake;
  thread->wake_data_ = data;
  thread->flush_timer_ = new uv_timer_t;
  uv_timer_init(loop, thread->flush_timer_);
  uv_unref(reinterpret_cast<uv_handle_t*>(thread->flush_timer_));
  thread->flush_timer_->data = thread;

  Process& process = TheProcess();
  std::lock_guard<std::mutex> lock(process.mutex);
  thread->serial_ = ++process.last_serial;
  thread->name_ = std::move(name);
  thread->detached_signals_ = sampler->signals();
  thread->since_ = process.windows.epoch();
  process.threads.push_back(thread);
  return thread;
}

void ProfiledThread::Release(void (*released)(void*), void* data) {
  wake_ = nullptr;
  StartFor(Session());
  DetachSamples();
  Deliver(ReadLabels());
  label_reader_.Reset();
  uint64_t serial = 0;
  {
    Process& process = TheProcess();
    std::lock_guard<std::mutex> lock(process.mutex);
    std::erase(process.threads, this);
    serial = std::exchange(serial_, 0);
    const bool had_open = process.windows.AnyOpen();
    process.windows.DropOwner(serial);
    // The session ends if its windows were the last.
    BeginEpochLocked(nullptr, 0, had_open && !process.windows.AnyOpen());
    detached_.clear();
  }
  refused_session_ = 0;
  flushing_ = false;
  tasks_.store(0);
  interrupt_queued_.store(false);
  uv_close(reinterpret_cast<uv_handle_t*>(flush_timer_), DeleteTimer);
  flush_timer_ = nullptr;
  sampler_->Release(released, data);
}

// --- The session ---

int ProfiledThread::StartFor(const Session& session) {
  if (session_ != 0) {
    sampler_->Stop();
    DetachSamples();
    session_ = 0;
  }
  if (session.number == 0) return 0;
  const int error = sampler_->Start(session.sampling);
  if (error != 0) return error;
  session_ = session.number;
  Process& process = TheProcess();
  std::lock_guard<std::mutex> lock(process.mutex);
  detached_signals_ = 0;
  since_ = process.windows.epoch();
  return 0;
}

ProfiledThread::State ProfiledThread::JoinOrLeaveSession() {
  Session wanted;
  {
    Process& process = TheProcess();
    std::lock_guard<std::mutex> lock(process.mutex);
    if (process.windows.AnyOpen()) wanted = process.session;
    sampler_->SetFlushWanted(process.windows.AnyOfOthers(serial_));
  }
  const bool was_refused =
      wanted.number != 0 && wanted.number == refused_session_;
  if (wanted.number != session_ && !was_refused && StartFor(wanted) != 0) {
    refused_session_ = wanted.number;
  }
  if (session_ != 0) return State::kSampling;
  return wanted.number == 0 ? State::kIdle : State::kRefused;
}

ProfiledThread::Opened ProfiledThread::OpenWindow(
    const SamplingOptions& sampling) {
  Process& process = TheProcess();
  Opened opened;
  Session session;
  {
    std::lock_guard<std::mutex> lock(process.mutex);
    if (!process.windows.AnyOpen() && process.opening == 0) {
      process.session = {process.session.number + 1, sampling};
    }
    process.opening++;
    session = process.session;
  }
  if (session_ != session.number) {
    opened.error = StartFor(session);
  }
  std::lock_guard<std::mutex> lock(process.mutex);
  process.opening--;
  if (opened.error != 0) return opened;
  const bool first = !process.windows.AnyOpen();
  opened.interval_ns = session.sampling.interval_ns;
  opened.window = process.windows.Open(serial_, opened.interval_ns, CpuNow());
  BeginEpochLocked(this, kDetach, first);
  return opened;
}

void ProfiledThread::BeginClose(uint32_t window) {
  {
    Process& process = TheProcess();
    std::lock_guard<std::mutex> lock(process.mutex);
    process.windows.BeginClose(window);
  }
  JoinOrLeaveSession();
}

uint64_t ProfiledThread::Rotate(uint32_t window) {
  Process& process = TheProcess();
  std::lock_guard<std::mutex> lock(process.mutex);
  std::vector<uint64_t> awaited;
  for (const ProfiledThread* thread : process.threads) {
    if (thread != this && thread->HasUndeliveredLocked()) {
      awaited.push_back(thread->serial_);
    }
  }
  const uint64_t segment =
      process.windows.Rotate(window, CpuNow(), std::move(awaited));
  BeginEpochLocked(this, kDetach | kFlush, !process.windows.AnyOpen());
  return segment;
}

bool ProfiledThread::IsComplete(uint32_t window, uint64_t segment) {
  Process& process = TheProcess();
  std::lock_guard<std::mutex> lock(process.mutex);
  return process.windows.IsComplete(window, segment);
}

void ProfiledThread::RequestFlushWithoutLabels(uint32_t window,
                                               uint64_t segment) {
  Process& process = TheProcess();
  std::lock_guard<std::mutex> lock(process.mutex);
  const auto awaited = process.windows.Awaited(window, segment);
  for (ProfiledThread* thread : process.threads) {
    if (std::find(awaited.begin(), awaited.end(), thread->serial_) !=
        awaited.end()) {
      thread->AskLocked(kFlushWithoutLabels | kFlush);
    }
  }
}

ProfileWindows::Taken ProfiledThread::Take(uint32_t window, uint64_t segment) {
  Process& process = TheProcess();
  std::lock_guard<std::mutex> lock(process.mutex);
  ProfileWindows::Taken taken = process.windows.Take(window, segment);
  SetFlushWantedLocked();
  return taken;
}

// --- Detaching and flushing samples ---

void ProfiledThread::DetachSamples() {
  const uint64_t signals = sampler_->signals();
  sampler_->Drain();
  StackTable* table = sampler_->stack_table();
  DetachedSamples detached;
  if (!table->stacks().empty()) {
    detached.batch = std::make_shared<SampleBatch>();
    detached.batch->interval_ns = sampler_->interval_ns();
    for (const auto& [key, weight] : table->stacks()) {
      detached.batch->weight += weight;
    }
    detached.collected_modules = sampler_->collected_modules();
    table->MoveTo(&detached.batch->table);
  }
  Process& process = TheProcess();
  std::lock_guard<std::mutex> lock(process.mutex);
  detached.since = std::exchange(since_, process.windows.epoch());
  detached_signals_ = signals;
  if (detached.batch == nullptr) return;
  detached.batch->thread_name = name_;
  if (CountUndelivered() == 0) oldest_detached_ns_ = ClockNs(CLOCK_MONOTONIC);
  detached_.push_back(std::move(detached));
}

const std::deque<ProfiledThread::DetachedSamples>&
ProfiledThread::BeginFlush() {
  flushing_ = true;
  sampler_->TakeFlushRequest();
  StackTable* table = sampler_->stack_table();
  // A sampler that has just started needs no index yet.
  if (sampler_->HasSamples()) {
    table->LearnSymbols(table->symbols() == nullptr ? kSymbolsWaitMs : 0);
  }
  sampler_->DrainInLoop();
  DetachSamples();
  for (DetachedSamples& detached : detached_) {
    if (!detached.delivered) Complete(detached, true);
  }
  return detached_;
}

void ProfiledThread::EndFlush(std::shared_ptr<const LabelTexts> labels) {
  Deliver(labels);
  // Other threads look for undelivered batches; these are freed without the
  // lock.
  std::deque<DetachedSamples> delivered;
  {
    Process& process = TheProcess();
    std::lock_guard<std::mutex> lock(process.mutex);
    delivered.swap(detached_);
  }
  flushing_ = false;
}

bool ProfiledThread::HasListeners() {
  Process& process = TheProcess();
  std::lock_guard<std::mutex> lock(process.mutex);
  return process.windows.AnyOfOthers(serial_);
}

// Asks V8 for the missing URLs and lines. From JavaScript and in the event
// loop.
void ProfiledThread::FillLines(StackTable* table) {
  table->FillUrls([this](int script_id, uint32_t text_hash) {
    return sampler_->EvaluatedFileOf(script_id, text_hash);
  });
  const bool wants_maps = SourceMapTexts::Get().is_wanted();
  if (wants_maps) {
    table->FillMaps(
        [this](int script_id) { return sampler_->SourceMapOf(script_id); });
  }
  table->FillLines(
      [this](int script_id, int32_t offset, int* column) {
        return sampler_->LineOf(script_id, offset, column);
      },
      wants_maps);
}

// Does some of a flush's work whenever the event loop is woken for samples, so
// that the flush itself does not block the loop.
void ProfiledThread::PrepareFlush() {
  StackTable* table = sampler_->stack_table();
  table->NameNatives();
  FillLines(table);
}

void ProfiledThread::Complete(const DetachedSamples& detached, bool may_ask) {
  StackTable* table = &detached.batch->table;
  if (detached.collected_modules == sampler_->collected_modules()) {
    sampler_->NameForeign(table);
  }
  // Its files may have been indexed only after it was detached.
  sampler_->CountUnresolved(
      table->NameAllNatives(may_ask ? kSymbolsWaitMs : 0));
  if (may_ask) FillLines(table);
  table->FillLinesWithStarts();
}

std::shared_ptr<const LabelTexts> ProfiledThread::ReadLabels() {
  if (!HasListeners()) return nullptr;
  std::vector<uint32_t> ids;
  for (const DetachedSamples& detached : detached_) {
    if (detached.delivered) continue;
    const std::vector<uint32_t> more = LabelIdsOf(*detached.batch);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return std::make_shared<LabelTexts>(
      label_reader_.Read(sampler_->isolate(), ids));
}

void ProfiledThread::Deliver(const std::shared_ptr<const LabelTexts>& labels) {
  for (DetachedSamples& detached : detached_) {
    if (!detached.delivered) Complete(detached, false);
  }
  Process& process = TheProcess();
  std::lock_guard<std::mutex> lock(process.mutex);
  for (DetachedSamples& detached : detached_) {
    if (detached.delivered) continue;
    detached.batch->labels = labels;
    detached.delivered = true;
    process.windows.Deliver(detached.batch, serial_, detached.since);
  }
  process.windows.Acknowledge(serial_, since_);
  AskReadyOwnersLocked();
}

// --- Requests to other threads ---

size_t ProfiledThread::CountUndelivered() const {
  return static_cast<size_t>(std::count_if(
      detached_.begin(), detached_.end(),
      [](const DetachedSamples& detached) { return !detached.delivered; }));
}

bool ProfiledThread::HasUndeliveredLocked() const {
  return sampler_->signals() != detached_signals_ || CountUndelivered() != 0;
}

// Does not wake threads without samples: their epoch is set here.
void ProfiledThread::BeginEpochLocked(ProfiledThread* own, uint32_t tasks,
                                      bool session_changes) {
  Process& process = TheProcess();
  for (ProfiledThread* thread : process.threads) {
    const bool busy = thread != own && thread->HasUndeliveredLocked();
    if (!busy) thread->since_ = process.windows.epoch();
    if (thread != own && (busy || session_changes)) {
      thread->AskLocked((busy ? tasks : 0u) |
                        (session_changes ? uint32_t{kJoinOrLeave} : 0u));
    }
  }
  SetFlushWantedLocked();
}

void ProfiledThread::SetFlushWantedLocked() {
  Process& process = TheProcess();
  for (ProfiledThread* thread : process.threads) {
    thread->sampler_->SetFlushWanted(
        process.windows.AnyOfOthers(thread->serial_));
  }
}

void ProfiledThread::AskReadyOwnersLocked() {
  Process& process = TheProcess();
  for (const uint64_t owner : process.windows.TakeReadyOwners()) {
    for (ProfiledThread* thread : process.threads) {
      if (thread->serial_ != owner) continue;
      thread->tasks_.fetch_or(kCheckWindows);
      thread->sampler_->WakeUp();
    }
  }
}

// Asks in both ways; the thread acts on the first that reaches it: its event
// loop, or an interrupt if its JavaScript does not return to the loop. Any
// thread, with the lock held.
void ProfiledThread::AskLocked(uint32_t tasks) {
  tasks_.fetch_or(tasks);
  sampler_->WakeUp();
  if (!interrupt_queued_.exchange(true)) {
    // The isolate is alive: Release() removes the thread from the list first.
    sampler_->isolate()->RequestInterrupt(OnInterrupt, this);
  }
}

// --- Requests that arrive, on the thread itself ---

void ProfiledThread::OnWoken() {
  if (wake_ == nullptr) return;
  PrepareFlush();
  // A flush names WebAssembly code, because that needs JavaScript.
  if (sampler_->WantsWasmNames()) tasks_.fetch_or(kFlush);
  uv_handle_t* timer = reinterpret_cast<uv_handle_t*>(flush_timer_);
  if (sampler_->flush_requested() && !uv_is_active(timer)) {
    uv_timer_start(flush_timer_, OnFlushTimer, kFlushMs, 0);
  }
  if (tasks_.exchange(0) != 0) wake_(wake_data_);
}

void ProfiledThread::OnFlushTimer(uv_timer_t* timer) {
  auto* thread = static_cast<ProfiledThread*>(timer->data);
  thread->sampler_->TakeFlushRequest();
  if (thread->wake_ != nullptr) thread->wake_(thread->wake_data_);
}

// The interrupted JavaScript may be anywhere, and no JavaScript may be called.
void ProfiledThread::OnInterrupt(v8::Isolate* isolate, void* self) {
  auto* thread = static_cast<ProfiledThread*>(self);
  // The interrupt may be for a thread that has ended: another one may use the
  // object now.
  if (thread->sampler_->isolate() != isolate) return;
  thread->interrupt_queued_.store(false);
  const uint32_t tasks = thread->tasks_.load();
  // Samples that JavaScript reads must not change; the flush that runs does
  // what was asked for.
  if (tasks == 0 || thread->flushing_) return;
  if ((tasks & kJoinOrLeave) != 0) thread->JoinOrLeaveSession();
  thread->DetachSamples();
  const size_t undelivered = thread->CountUndelivered();
  const bool overdue = undelivered > kMaxDetachedBatches ||
                       (undelivered != 0 &&
                        ClockNs(CLOCK_MONOTONIC) - thread->oldest_detached_ns_ >
                            kMaxDetachedAgeNs);
  if ((tasks & kFlushWithoutLabels) == 0 && !overdue) return;
  thread->tasks_.fetch_and(~uint32_t{kFlushWithoutLabels});
  thread->Deliver(nullptr);
  Process& process = TheProcess();
  std::lock_guard<std::mutex> lock(process.mutex);
  // If the thread has windows, its next flush adds the samples to them.
  if (process.windows.AnyOf(thread->serial_)) {
    thread->MergeOldestLocked();
  } else {
    thread->detached_.clear();
  }
}

void ProfiledThread::MergeOldestLocked() {
  if (detached_.size() <= kMaxDetachedBatches) return;
  DetachedSamples merged = detached_.front();
  uint64_t weight = 0;
  while (detached_.size() >= kMaxDetachedBatches) {
    weight += detached_.front().batch->weight;
    detached_.pop_front();
  }
  merged.batch = std::make_shared<SampleBatch>(
      OverflowBatch(name_, merged.batch->interval_ns, weight));
  detached_.push_front(std::move(merged));
}

}  // namespace otelpyroscope
