# Waits again and again in each way that Ruby has; see waits.py.

require "timeout"

PAUSE = 0.2

def tick(name)
  monotonic = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
  boottime = Process.clock_gettime(Process::CLOCK_BOOTTIME, :nanosecond)
  $stdout.syswrite("tick #{name} #{monotonic} #{boottime}\n")
end

def with_condition
  mutex = Mutex.new
  mutex.synchronize { ConditionVariable.new.wait(mutex, PAUSE) }
end

def with_timeout
  Timeout.timeout(PAUSE) { Thread.stop }
rescue Timeout::Error
  nil
end

WAYS = {
  "sleep" => -> { sleep(PAUSE) },
  "condition" => -> { with_condition },
  "queue" => -> { Thread::Queue.new.pop(timeout: PAUSE) },
  "select" => -> { IO.select(nil, nil, nil, PAUSE) },
  "timeout" => -> { with_timeout },
}

threads = WAYS.map do |name, wait|
  Thread.new do
    loop do
      wait.call
      tick(name)
    end
  end
end
threads.each(&:join)
