// SPDX-License-Identifier: MIT
// Garbage, direct buffers and zlib's native memory in several threads.
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

public class Churn {
    static long work(int seed) throws Exception {
        CRC32 crc = new CRC32();
        HashMap<String, byte[]> table = new HashMap<>();
        for (int i = 0; i < 60000; i++) {
            table.put("key" + (i * 31 + seed) % 4000, new byte[i % 700]);
        }
        long sum = 0;
        for (byte[] bytes : table.values()) sum += bytes.length;
        crc.update(Long.toString(sum).getBytes());
        for (int i = 1; i < 60; i++) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(i * 3000);
            while (buffer.hasRemaining()) buffer.put((byte) (i + seed));
            byte[] input = new byte[buffer.capacity()];
            buffer.flip();
            buffer.get(input);
            Deflater deflater = new Deflater();
            deflater.setInput(input);
            deflater.finish();
            byte[] packed = new byte[input.length + 100];
            int length = deflater.deflate(packed);
            deflater.end();
            Inflater inflater = new Inflater();
            inflater.setInput(packed, 0, length);
            byte[] output = new byte[input.length];
            if (inflater.inflate(output) != input.length) throw new Exception("inflate");
            inflater.end();
            crc.update(output);
        }
        return crc.getValue();
    }

    public static void main(String[] arguments) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Long>> results = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            final int seed = i;
            results.add(pool.submit(() -> work(seed)));
        }
        for (Future<Long> result : results) System.out.println(result.get());
        pool.shutdown();
        System.gc();
        System.out.println("done");
    }
}
