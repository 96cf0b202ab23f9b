"""Writes the scores of CarRacing-v3's picture as Gymnasium's pygame paints them: car_racing_score.py OUT

The font is pygame's own and no part of this project, so set-up has it paint the scores once. For each of the texts "-000" to "-999", then
"0000" to "1999": rows 87 to 91 of the picture, columns 0 to 10, one byte a pixel (red, green and blue are equal). That is all a score
touches.
"""

import os
import sys

os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"
import pygame

# Window and picture of gymnasium/envs/box2d/car_racing.py, the left eighth of both: 125 columns are 12, at the whole's scale.
WINDOW, PICTURE = (125, 800), (12, 96)
ROWS, COLUMNS = slice(87, 92), slice(0, 11)


def main() -> None:
    pygame.font.init()
    font = pygame.font.Font(pygame.font.get_default_font(), 42)
    scores = [f"-{score:03}" for score in range(1000)] + [f"{score:04}" for score in range(2000)]
    out = bytearray()
    for score in scores:
        window = pygame.Surface(WINDOW, depth=32)
        text = font.render(score, True, (255, 255, 255), (0, 0, 0))
        place = text.get_rect()
        place.center = (60, 750)
        window.blit(text, place)
        picture = pygame.surfarray.array3d(pygame.transform.smoothscale(window, PICTURE)).transpose(1, 0, 2)
        block = picture[ROWS, COLUMNS].copy()
        picture[ROWS, COLUMNS] = 0
        if picture.any() or (block != block[:, :, :1]).any():
            sys.exit(f"{score} is painted elsewhere or in colour: expected pygame-ce 2.5.8, found {pygame.version.ver}")
        out += block[:, :, 0].tobytes()
    with open(f"{sys.argv[1]}.new", "wb") as file:
        file.write(out)
    os.replace(f"{sys.argv[1]}.new", sys.argv[1])


main()
