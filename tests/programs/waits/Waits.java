import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;

/** Waits again and again in each way that Java has; see waits.py. */
public final class Waits {
    private static final long PAUSE = 200;

    private interface Wait {
        void once() throws Exception;
    }

    private static synchronized void tick(String name) {
        long now = System.nanoTime();
        System.out.print("tick " + name + " " + now + " " + now + "\n");
        System.out.flush();
    }

    private static void repeat(String name, Wait wait) {
        Thread.ofPlatform().start(() -> {
            try {
                while (true) {
                    wait.once();
                    tick(name);
                }
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        });
    }

    public static void main(String[] arguments) {
        var monitor = new Object();
        var lock = new ReentrantLock();
        var condition = lock.newCondition();
        var queue = new ArrayBlockingQueue<String>(1);
        var semaphore = new Semaphore(0);
        repeat("sleep", () -> Thread.sleep(PAUSE));
        repeat("park-nanos", () -> {
            // It may return at once, when a permit is left over.
            long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PAUSE);
            for (long left; (left = end - System.nanoTime()) > 0; ) {
                LockSupport.parkNanos(left);
            }
        });
        repeat("wait", () -> {
            synchronized (monitor) {
                monitor.wait(PAUSE);
            }
        });
        repeat("condition", () -> {
            lock.lock();
            try {
                condition.await(PAUSE, TimeUnit.MILLISECONDS);
            } finally {
                lock.unlock();
            }
        });
        repeat("queue", () -> queue.poll(PAUSE, TimeUnit.MILLISECONDS));
        repeat("semaphore", () -> semaphore.tryAcquire(PAUSE, TimeUnit.MILLISECONDS));
        Executors.newScheduledThreadPool(1)
            .scheduleAtFixedRate(() -> tick("scheduled"), PAUSE, PAUSE, TimeUnit.MILLISECONDS);
        Thread.ofVirtual().start(() -> {
            try {
                while (true) {
                    Thread.sleep(PAUSE);
                    tick("virtual");
                }
            } catch (InterruptedException error) {
                throw new IllegalStateException(error);
            }
        });
    }
}
