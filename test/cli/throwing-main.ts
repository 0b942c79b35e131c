/** The program, run by main.test.ts, with something in it that throws. */
import "./throw-later.ts";
import "../../src/main.ts";
