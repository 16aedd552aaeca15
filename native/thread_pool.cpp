#include "thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace secondpass {
namespace {

// A plain pointer, never freed: workers may outlive the statics of the process, and a child must
// not touch the locks that it inherits from its parent.
std::atomic<ThreadPool*> pool{nullptr};

[[maybe_unused]] void forget_pool() { pool.store(nullptr); }

#if !defined(_WIN32)
[[maybe_unused]] const int watching_forks = pthread_atfork(nullptr, nullptr, forget_pool);
#endif

}  // namespace

struct ThreadPool::Job {
    const PoolCall* call;
    std::size_t next = 0, running = 0;
    std::exception_ptr error = nullptr;
    std::condition_variable finished{};

    bool taken() const { return next >= call->items; }
    bool done() const { return taken() && running == 0; }
};

ThreadPool& ThreadPool::of_process() {
    ThreadPool* found = pool.load();
    if (found == nullptr) {
        auto fresh = std::make_unique<ThreadPool>();
        if (pool.compare_exchange_strong(found, fresh.get())) {
            found = fresh.release();
        }
    }
    return *found;
}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        ending_ = true;
    }
    arrived_.notify_all();
    for (std::thread& worker : workers_) {
        worker.join();
    }
}

bool ThreadPool::run(const PoolCall& call) {
    if (call.items == 0) {
        return true;
    }
    Job job{&call};
    bool cancelled = false;
    std::unique_lock<std::mutex> lock(mutex_);
    grow(call.threads);
    jobs_.push_back(&job);
    arrived_.notify_all();
    while (!job.done()) {
        job.finished.wait_for(lock, std::chrono::milliseconds(100));
        if (!job.taken() && !cancelled && call.cancelled) {
            lock.unlock();
            const bool stop = call.cancelled();
            lock.lock();
            cancelled = stop && !job.taken();
            job.next = cancelled ? call.items : job.next;
        }
    }
    jobs_.erase(std::find(jobs_.begin(), jobs_.end(), &job));
    if (job.error) {
        std::rethrow_exception(job.error);
    }
    return !cancelled;
}

void ThreadPool::grow(std::size_t threads) {
    while (workers_.size() < threads) {
        workers_.emplace_back([this] { serve(); });
    }
}

// The first job in line that may have one more worker; it goes to the end of the line.
ThreadPool::Job* ThreadPool::next_job() {
    for (auto at = jobs_.begin(); at != jobs_.end(); ++at) {
        Job* job = *at;
        if (!job->taken() && job->running < job->call->threads) {
            jobs_.erase(at);
            jobs_.push_back(job);
            return job;
        }
    }
    return nullptr;
}

void ThreadPool::serve() {
    Workspace workspace;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
        Job* job = nullptr;
        arrived_.wait(lock, [&] { return ending_ || (job = next_job()) != nullptr; });
        if (ending_) {
            return;
        }
        const std::size_t item = job->next++;
        ++job->running;
        lock.unlock();
        std::exception_ptr error;
        try {
            job->call->work(item, workspace);
        } catch (...) {
            error = std::current_exception();
        }
        workspace.trim();
        lock.lock();
        --job->running;
        if (error && !job->error) {
            job->error = error;
            job->next = job->call->items;
        }
        // The job lives on its caller's stack: not to be touched once it is done and the lock free.
        if (job->done()) {
            job->finished.notify_one();
        } else if (!job->taken()) {
            arrived_.notify_one();  // it may have one more worker, and this one serves others first
        }
    }
}

}  // namespace secondpass
