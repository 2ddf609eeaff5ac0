"""The quiz: questions whose answers are computed, replies read tolerantly, and boxes that bring back what was missed.

Files in tests/quiz import what they need from here.
"""

from grader.learning.quiz.questions import Ask, Question, changed, multiplications, question
from grader.probing.assembly import Exercise
from grader.probing.random import Random

__all__ = ["Ask", "Exercise", "Question", "Random", "changed", "multiplications", "question"]
