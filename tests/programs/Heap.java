import java.util.ArrayList;
import java.util.List;
import sun.misc.Signal;

/**
 * Fills a heap with args[0] megabytes of what services keep: objects with names, amounts and a history. Makes a step every few milliseconds; a
 * SIGHUP changes a tenth of the objects.
 */
public class Heap {
    /** About so many bytes an object takes with all that belongs to it. */
    static final int BYTES = 256;

    static class Order {
        final long id;
        final String customer;
        final String place;
        final long[] history = new long[12];
        double amount;

        Order(long id) {
            this.id = id;
            customer = "customer-" + id * 7919 % 1_000_003;
            place = "street " + id % 4001 + ", town " + id % 97;
            change(0);
        }

        void change(int round) {
            long mixed = (id + 1) * 0x9E3779B97F4A7C15L + round;
            amount = (mixed >>> 40) / 100.0;
            for (int n = 0; n < history.length; n++) {
                mixed ^= mixed >>> 27;
                mixed *= 0xBF58476D1CE4E5B9L;
                history[n] = mixed >>> 44;
            }
        }
    }

    static final List<Order> orders = new ArrayList<>();
    static int rounds = 0;

    static void changeATenth() {
        rounds++;
        int tenth = orders.size() / 10;
        orders.subList(rounds % 10 * tenth, (rounds % 10 + 1) * tenth).forEach(order -> order.change(rounds));
        System.out.println("changed");
    }

    public static void main(String[] args) throws Exception {
        long count = Long.parseLong(args[0]) * (1 << 20) / BYTES;
        for (long id = 0; id < count; id++) orders.add(new Order(id));
        System.out.println("begin");
        Signal.handle(new Signal("HUP"), signal -> changeATenth());
        for (long step = 1; ; step++) {
            System.out.println("step " + step);
            Thread.sleep(2);
        }
    }
}
