// How the threads of a process ask each other to act, and where they hear it.
#include <algorithm>
#include <mutex>

#include "profile_process.h"
#include "profiled_thread.h"

namespace otelpyroscope {

// --- What threads ask of each other ---

bool ProfiledThread::HasUndeliveredLocked() const {
  return sampler_->signals() != cut_signals_ ||
         std::any_of(cuts_.begin(), cuts_.end(),
                     [](const Cut& cut) { return !cut.delivered; });
}

// Threads that have nothing to cut are not woken: for them the epoch has begun.
void ProfiledThread::BeginEpochLocked(ProfiledThread* own, uint32_t tasks,
                                      bool session_changes) {
  Process& process = TheProcess();
  for (ProfiledThread* thread : process.threads) {
    const bool busy = thread != own && thread->HasUndeliveredLocked();
    if (!busy) thread->since_ = process.windows.epoch();
    if (thread != own && (busy || session_changes)) {
      thread->AskLocked((busy ? tasks : 0u) |
                        (session_changes ? uint32_t{kFollow} : 0u));
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
      thread->tasks_.fetch_or(kLook);
      thread->sampler_->WakeUp();
    }
  }
}

// Both ways, and the thread takes the one that it comes by first: its loop, or
// an interrupt where its JavaScript does not return to the loop.
void ProfiledThread::AskLocked(uint32_t tasks) {
  tasks_.fetch_or(tasks);
  sampler_->WakeUp();
  if (!interrupt_queued_.exchange(true)) {
    // The isolate lives: Release() takes the thread off the list first.
    sampler_->isolate()->RequestInterrupt(OnInterrupt, this);
  }
}

// --- Where they are heard: on the thread itself ---

void ProfiledThread::OnWoken(Sampler* sampler) {
  auto* thread = static_cast<ProfiledThread*>(sampler->companion);
  if (thread->wake_ == nullptr) return;
  thread->PrepareFlush();
  // JavaScript is needed for it: a flush does it.
  if (sampler->WantsWasmNames()) thread->tasks_.fetch_or(kFlush);
  uv_handle_t* timer = reinterpret_cast<uv_handle_t*>(thread->flush_timer_);
  if (sampler->flush_requested() && !uv_is_active(timer)) {
    uv_timer_start(thread->flush_timer_, OnFlushTimer, kFlushMs, 0);
  }
  if (thread->tasks_.exchange(0) != 0) thread->wake_(thread->wake_data_);
}

void ProfiledThread::OnFlushTimer(uv_timer_t* timer) {
  auto* thread = static_cast<ProfiledThread*>(timer->data);
  thread->sampler_->TakeFlushRequest();
  if (thread->wake_ != nullptr) thread->wake_(thread->wake_data_);
}

// JavaScript may be anywhere, and must not be called.
void ProfiledThread::OnInterrupt(v8::Isolate* isolate, void* self) {
  auto* thread = static_cast<ProfiledThread*>(self);
  // Queued for a thread that has ended: another one may be in its place.
  if (thread->sampler_->isolate() != isolate) return;
  thread->interrupt_queued_.store(false);
  const uint32_t tasks = thread->tasks_.load();
  // What is being read must not change; the flush under way serves as well.
  if (tasks == 0 || thread->flushing_) return;
  if ((tasks & kFollow) != 0) thread->Follow();
  thread->CutSamples();
  const bool overdue =
      thread->cuts_.size() > kMaxCuts ||
      (!thread->cuts_.empty() &&
       ClockNs(CLOCK_MONOTONIC) - thread->oldest_cut_ns_ > kMaxCutAgeNs);
  if ((tasks & kForce) == 0 && !overdue) return;
  thread->tasks_.fetch_and(~uint32_t{kForce});
  thread->Deliver(nullptr);
  Process& process = TheProcess();
  std::lock_guard<std::mutex> lock(process.mutex);
  // Its own windows are still to read them.
  if (!process.windows.AnyOf(thread->serial_)) thread->cuts_.clear();
}

}  // namespace otelpyroscope
